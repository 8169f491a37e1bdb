"""The capability list: what the administrator wrote, what settings add, what is ours."""

from __future__ import annotations

from collections.abc import Iterator

from imapd.settings import Settings

#: Words that may stand in IMAP_CAPABILITY and whose commands this version does not have.
_NOT_YET = frozenset(
    ("THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES", "SORT", "QUOTA", "ACL", "ACL2=UNION", "SMAP1")
)
#: Our own, appended unless IMAP_EXTENSIONS is 0.
_OURS = ("LITERAL+", "UNSELECT", "MOVE")


def listed(settings: Settings, *, tls: bool) -> str:
    """Give the list as CAPABILITY says it, each word once."""
    words = dict.fromkeys(word for word in _words(settings, tls) if word.upper() not in _NOT_YET)
    return " ".join(words)


def _words(settings: Settings, tls: bool) -> Iterator[str]:
    yield from (settings.capability_tls if tls else ()) or settings.capability
    if settings.id_fields is not None:
        yield "ID"
    if settings.move_expunge_to_trash:
        yield "XMAGICTRASH"
    # Courier: always, since 5.0.
    yield from ("ENABLE", "UTF8=ACCEPT")
    if settings.extensions:
        yield from _OURS
