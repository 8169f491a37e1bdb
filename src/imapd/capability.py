"""The capability list: what the administrator wrote, what settings add, what is ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from imapd import acl_letters
from imapd.settings import Settings

#: Words that may stand in IMAP_CAPABILITY and whose commands this version does not have.
_NOT_YET = frozenset(("SMAP1",))
#: Our own, appended unless IMAP_EXTENSIONS is 0.
_OURS = (
    "LITERAL+",
    "UNSELECT",
    "MOVE",
    "ESEARCH",
    "SEARCHRES",
    "WITHIN",
    "I18NLEVEL=1",
    "CONDSTORE",
    "QRESYNC",
)
#: Ours, too, where the administrator's list has SORT.
_OF_SORT = ("ESORT", "SORT=DISPLAY")
#: And where it has QUOTA (RFC 9208 3).
_OF_QUOTA = ("QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE")


def listed(settings: Settings, *, tls: bool) -> str:
    """Give the list of a session, each word once."""
    return _list(_words(settings, tls, ()))


def before_login(
    settings: Settings, *, tls: bool, offers_tls: bool, needs_tls: bool, has_identity: bool = False
) -> str:
    """Give the list of a connection that has not logged in.

    ``has_identity``: the client's certificate says who it is.
    """
    words = []
    if offers_tls:
        words.append("STARTTLS")
    if needs_tls:
        words.append("LOGINDISABLED")
    if has_identity:
        words.append("AUTH=EXTERNAL")
    ours = (*_words(settings, tls, words), *(("SASL-IR",) if settings.extensions else ()))
    return _list(ours)


def _list(words: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(word for word in words if word.upper() not in _NOT_YET))


def _words(settings: Settings, tls: bool, of_login: Sequence[str]) -> Iterator[str]:
    """Give the words in Courier's order."""
    administrators = (settings.capability_tls if tls else ()) or settings.capability
    yield from administrators
    if settings.acl:
        yield from ("ACL", "ACL2=UNION")
    if settings.id_fields is not None:
        yield "ID"
    yield from of_login
    if settings.outbox is not None:
        yield f"XCOURIEROUTBOX=INBOX{settings.outbox}"
    if settings.move_expunge_to_trash:
        yield "XMAGICTRASH"
    # Courier: always, since 5.0.
    yield from ("ENABLE", "UTF8=ACCEPT")
    if settings.extensions:
        yield from _OURS
        if "SORT" in map(str.upper, administrators):
            yield from _OF_SORT
        if any(word.upper().startswith("THREAD=") for word in administrators):
            yield "THREAD=REFS"
        if "QUOTA" in map(str.upper, administrators):
            yield from _OF_QUOTA
    if acl_letters.is_extended(settings):
        yield "RIGHTS=ektx"
