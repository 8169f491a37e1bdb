"""Untagged responses that keep a client's picture of the mailbox true (RFC 9051 7.4, 7.5)."""

from __future__ import annotations

from dataclasses import dataclass

from courier.maildir import acl
from courier.maildir.view import Update, View
from imapd import acl_letters
from imapd.settings import Settings
from imapd.wire import writer

_SYSTEM = b"\\Draft \\Answered \\Flagged \\Deleted \\Seen"
_RIGHT = {b"\\Deleted": "t", b"\\Seen": "s"}  # the others: w


@dataclass(frozen=True, slots=True)
class Form:
    """What a client has enabled that changes how it is told of messages (RFC 7162, RFC 9051, RFC 9586)."""

    modseqs: bool = False  # CONDSTORE: of changes with UID and MODSEQ
    vanished: bool = False  # QRESYNC: of removed messages by UID, not with EXPUNGE
    uid_only: bool = False  # UIDONLY: of messages by UID alone
    rev2: bool = False  # IMAP4rev2: of changes with UID, and nothing of what is recent
    uids: bool = False  # NOTIFY: of changes with UID

    @property
    def tells_uid(self) -> bool:
        """Whether what the client did not ask for has the UID as an item (RFC 9051 7.5.2)."""
        return (self.modseqs or self.rev2 or self.uids) and not self.uid_only


PLAIN = Form()


def text(
    view: View,
    update: Update,
    settings: Settings,
    rights: str = acl.ALL,
    form: Form = PLAIN,
) -> bytes:
    """Write an update in Courier's order; empty if there is nothing to tell."""
    lines = _removed(update, form)
    if update.new_keywords:
        lines.append(flags(view, settings, rights))
    if update.expunged or update.exists is not None:
        lines.append(size(view))
    elif update.recent:
        lines.append(b"* %d RECENT\r\n" % view.recents())
    lines.extend(fetch_flags(view, seq, form) for seq in update.flags)
    if update.withholds and form.modseqs:  # RFC 7162 6: so that what comes later is asked for
        lines.append(highest(view))
    return b"".join(lines)


def size(view: View) -> bytes:
    """EXISTS, and RECENT for a client that knows it (RFC 9051 appendix E 12)."""
    exists = b"* %d EXISTS\r\n" % len(view.uids)
    return exists + b"* %d RECENT\r\n" % view.recents() if view.tells_recent else exists


def _removed(update: Update, form: Form) -> list[bytes]:
    if not (form.vanished or form.uid_only):
        return [b"* %d EXPUNGE\r\n" % seq for seq in update.expunged]
    gone = update.vanished
    return [b"* VANISHED " + writer.uid_set(gone) + b"\r\n"] if gone else []


def highest(view: View) -> bytes:
    """``* OK [HIGHESTMODSEQ n]``: all up to there has been told (RFC 7162 3.1.2)."""
    if not view.folder.keeps_modseqs:
        return b"* OK [NOMODSEQ] Ok\r\n"
    return b"* OK [HIGHESTMODSEQ %d] Ok\r\n" % view.highest


def flags(view: View, settings: Settings, held: str = acl.ALL) -> bytes:
    """FLAGS and PERMANENTFLAGS: the keywords in use, then the system flags.

    Args:
        held: the rights, which say what of it may be changed (RFC 4314 4). Courier: all.
    """
    keywords = writer.keyword_flags(view.folder.keywords_in_use())
    words = b"".join(keyword + b" " for keyword in keywords)
    recent = b" \\Recent" if view.tells_recent else b""
    lines = b"* FLAGS (" + words + _SYSTEM + recent + b")\r\n"
    if view.read_only:
        return lines + b"* OK [PERMANENTFLAGS ()] No permanent flags permitted\r\n"
    new = b"\\* " if settings.keywords else b""
    own = words + new if "w" in held else b""
    system = b" ".join(word for word in _SYSTEM.split(b" ") if _RIGHT.get(word, "w") in held)
    return lines + b"* OK [PERMANENTFLAGS (" + (own + system).strip() + b")] Limited\r\n"


def rights(held: str) -> bytes:
    """Courier: what the user may do in the selected mailbox."""
    return b'* OK [MYRIGHTS "%b"] ACL\r\n' % acl_letters.short(held).encode()


def flag_list(view: View, seq: int) -> bytes:
    """The flags of a message, as this client sees them."""
    uid = view.uids[seq - 1]
    recent = view.tells_recent and view.is_recent(uid)
    return writer.flags(view.flags[seq - 1], view.keyword_words(seq), recent=recent)


def flag_text(view: View, flags: int, keywords: int) -> bytes:
    """The list of these flags, and of a keyword set by its number, for a message that is not recent."""
    return writer.flags(flags, view.folder.keyword_sets[keywords])


def fetch_flags(view: View, seq: int, form: Form = PLAIN, *, with_uid: bool = False) -> bytes:
    """``* n FETCH (FLAGS (…))``, with the UID where a UID command asks for it."""
    with_uid = form.tells_uid or (with_uid and not form.uid_only)
    uid = b"UID %d " % view.uids[seq - 1] if with_uid else b""
    modseq = b" MODSEQ (%d)" % view.modseq(seq) if form.modseqs else b""
    return fetch(view, seq, form) + b"%bFLAGS %b%b)\r\n" % (uid, flag_list(view, seq), modseq)


def fetch_modseq(view: View, seq: int, form: Form = PLAIN) -> bytes:
    """``* n FETCH (UID u MODSEQ (m))``: flags changed as the client expects (RFC 7162 3.1.3)."""
    uid = b"" if form.uid_only else b"UID %d " % view.uids[seq - 1]
    return fetch(view, seq, form) + b"%bMODSEQ (%d))\r\n" % (uid, view.modseq(seq))


def fetch(view: View, seq: int, form: Form = PLAIN) -> bytes:
    """Begin ``* n FETCH (``; with UIDONLY the UID stands in the number's place (RFC 9586 3.3)."""
    if form.uid_only:
        return b"* %d UIDFETCH (" % view.uids[seq - 1]
    return b"* %d FETCH (" % seq
