"""Untagged responses that keep a client's picture of the mailbox true (RFC 9051 7.4, 7.5)."""

from __future__ import annotations

from courier.maildir.view import Update, View
from imapd.settings import Settings
from imapd.wire import writer

_SYSTEM = b"\\Draft \\Answered \\Flagged \\Deleted \\Seen"


def text(view: View, update: Update, settings: Settings) -> bytes:
    """Write an update in Courier's order; empty if there is nothing to tell."""
    lines = [b"* %d EXPUNGE\r\n" % seq for seq in update.expunged]
    if update.new_keywords:
        lines.append(flags(view, settings))
    if update.expunged or update.exists is not None:
        lines.append(b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(view.uids), view.recents()))
    lines.extend(fetch_flags(view, seq) for seq in update.flags)
    return b"".join(lines)


def flags(view: View, settings: Settings) -> bytes:
    """FLAGS and PERMANENTFLAGS: the keywords in use, then the system flags."""
    keywords = writer.keyword_flags(view.folder.keywords_in_use())
    words = b"".join(keyword + b" " for keyword in keywords)
    lines = b"* FLAGS (" + words + _SYSTEM + b" \\Recent)\r\n"
    if view.read_only:
        return lines + b"* OK [PERMANENTFLAGS ()] No permanent flags permitted\r\n"
    new = b"\\* " if settings.keywords else b""
    return lines + b"* OK [PERMANENTFLAGS (" + words + new + _SYSTEM + b")] Limited\r\n"


def flag_list(view: View, seq: int) -> bytes:
    """The flags of a message, as this client sees them."""
    uid = view.uids[seq - 1]
    return writer.flags(view.flags[seq - 1], view.keyword_words(seq), recent=view.is_recent(uid))


def fetch_flags(view: View, seq: int, *, with_uid: bool = False) -> bytes:
    """``* n FETCH (FLAGS (…))``, with the UID where a UID command asks for it."""
    uid = b"UID %d " % view.uids[seq - 1] if with_uid else b""
    return b"* %d FETCH (%bFLAGS %b)\r\n" % (seq, uid, flag_list(view, seq))
