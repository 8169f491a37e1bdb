"""The capability list: what the administrator wrote, what settings add, what is ours.

Every client gets two of them before it has said a word, and few settings make few lists: they are kept.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

from imapd import acl_letters
from imapd.settings import Settings
from imapd.wire.grammar import MAX_NUMBER

#: A word that stands in SMAP_CAPABILITY, and switches something on there only.
_SMAP = "SMAP1"
_AUTH = "AUTH="
#: Our own, appended unless IMAP_EXTENSIONS is 0.
_OURS = (
    "MULTIAPPEND",
    "BINARY",
    "CATENATE",
    "REPLACE",
    "OBJECTID",
    "PREVIEW",
    "SAVEDATE",
    "UNSELECT",
    "MOVE",
    "ESEARCH",
    "SEARCHRES",
    "WITHIN",
    "I18NLEVEL=1",
    "CONDSTORE",
    "QRESYNC",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "STATUS=SIZE",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "METADATA",
    "LIST-METADATA",
    "PARTIAL",
    "CONTEXT=SEARCH",
    "UIDONLY",
    "INPROGRESS",
    "MULTISEARCH",
    "FILTERS",
    "UIDBATCHES",
    "NOTIFY",
)
#: What IMAP4rev2 contains and the administrator's list may lack (RFC 9051 appendix E 2).
_OF_REV2 = frozenset(("UIDPLUS", "CHILDREN", "NAMESPACE", "IDLE"))
#: Ours, too, where the administrator's list has SORT.
_OF_SORT = ("ESORT", "SORT=DISPLAY", "CONTEXT=SORT")
#: And where it has QUOTA (RFC 9208 3).
_OF_QUOTA = ("QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE")

#: Lists that are kept. Each of its settings keeps these alive, of which there are a few.
_KEPT = 64


@functools.lru_cache(_KEPT)
def listed(settings: Settings, *, tls: bool, may_return: bool = False) -> str:
    """Give the list of a session, each word once.

    Args:
        may_return: the client may go back from it to its log-in (RFC 8437 3).
    """
    return _list((*_words(settings, tls, ()), *(("UNAUTHENTICATE",) if may_return else ())))


@functools.lru_cache(_KEPT)
def before_login(
    settings: Settings,
    *,
    tls: bool,
    offers_tls: bool,
    needs_tls: bool,
    has_identity: bool = False,
    mechanisms: frozenset[str] = frozenset(),
) -> str:
    """Give the list of a connection that has not logged in.

    Args:
        has_identity: the client's certificate says who it is.
        mechanisms: those of SASL's that this connection has beside Courier's.
    """
    words = [f"{_AUTH}{name}" for name in sorted(mechanisms, reverse=True)]
    if offers_tls:
        words.append("STARTTLS")
    if needs_tls:
        words.append("LOGINDISABLED")
    if has_identity:
        words.append("AUTH=EXTERNAL")
    ours = (*_words(settings, tls, words), *(("SASL-IR",) if settings.extensions else ()))
    return _list(ours)


def has_rev2(settings: Settings, *, tls: bool) -> bool:
    """Tell whether clients may enable IMAP4rev2: who hides something that it contains hides it, too."""
    words = set(map(str.upper, _administrators(settings, tls)))
    return "IMAP4REV2" in words or (settings.extensions and words >= _OF_REV2)


@functools.lru_cache(_KEPT)
def limits_literals(settings: Settings, *, tls: bool) -> bool:
    """Tell whether a client has to wait before it sends a large literal (RFC 7888 5).

    LITERAL- is there instead of LITERAL+ where the administrator's list names it: it would only
    take from clients what they have.
    """
    return "LITERAL-" in map(str.upper, _administrators(settings, tls))


def _administrators(settings: Settings, tls: bool) -> Sequence[str]:
    return (settings.capability_tls if tls else ()) or settings.capability


@functools.lru_cache(_KEPT)
def mechanisms(settings: Settings) -> tuple[str, ...]:
    """Give SASL's mechanisms that the administrator has chosen beside Courier's: by IMAP_SASL, or in
    the manner of the others as `AUTH=…` in the list itself."""
    words = (*settings.capability, *settings.capability_tls)
    listed = (word[len(_AUTH) :] for word in words if word.upper().startswith(_AUTH))
    return (*settings.sasl, *listed)


def _is_of_offer(word: str) -> bool:
    """Whether a word of the administrator's depends on the connection."""
    if not word.upper().startswith(_AUTH):
        return False
    from courier.auth import sasl  # which a log-in has loaded, and a session hardly ever needs

    return sasl.is_optional(word[len(_AUTH) :])


def _list(words: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(words))


def _words(settings: Settings, tls: bool, of_login: Sequence[str]) -> Iterator[str]:
    """Give the words in Courier's order."""
    administrators = _administrators(settings, tls)
    limited = limits_literals(settings, tls=tls)
    # RFC 7888 5: never both.
    without = (word for word in administrators if not (limited and word.upper() == "LITERAL+"))
    yield from (word for word in without if not _is_of_offer(word) and word.upper() != _SMAP)
    if settings.smap_capability:
        yield from settings.smap_capability
        if settings.keywords:
            yield "KEYWORDS"
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
        if not limited:
            yield "LITERAL+"
        if 0 < settings.max_append <= MAX_NUMBER:
            yield f"APPENDLIMIT={settings.max_append}"
        else:
            yield "APPENDLIMIT"
        yield from _OURS
        # RFC 9738 3: never both.
        if settings.message_limit:
            yield f"MESSAGELIMIT={settings.message_limit}"
        elif settings.save_limit:
            yield f"SAVELIMIT={settings.save_limit}"
        if has_rev2(settings, tls=tls):
            yield "IMAP4rev2"
        if settings.acl:
            yield "LIST-MYRIGHTS"
        if settings.compress:
            yield "COMPRESS=DEFLATE"
        if "SORT" in map(str.upper, administrators):
            yield from _OF_SORT
        if any(word.upper().startswith("THREAD=") for word in administrators):
            yield "THREAD=REFS"
        if "QUOTA" in map(str.upper, administrators):
            yield from _OF_QUOTA
    if acl_letters.is_extended(settings):
        yield "RIGHTS=ektx"
