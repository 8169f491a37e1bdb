"""What a LIST asks for. RFC 5258 3 and 6, RFC 9051 6.3.9, RFC 5819, RFC 6154, RFC 8440, RFC 9590; Courier's
own options (ACL2=UNION).

Both put options in parentheses before the reference. Those that are Courier's, all of them, ask
for what is told of each mailbox; those of RFC 5258 say which mailboxes are told of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imapd import annotation, names, status_items
from imapd.completion import CommandFailed, InvalidArgument, No
from imapd.pattern import Patterns
from imapd.wire.parser import ParseError, Parser

if TYPE_CHECKING:
    from imapd.session import Session

#: What Courier's options ask for.
_UNION = frozenset(("ACL", "MYRIGHTS", "POSTADDRESS"))
#: Options that can stand alone with RECURSIVEMATCH: they select (RFC 5258 6, list-select-base-opt).
_BASE = frozenset(("SUBSCRIBED",))
_SELECTION = frozenset((*_BASE, "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"))
_RETURN = frozenset(("SUBSCRIBED", "CHILDREN", "MYRIGHTS", "SPECIAL-USE"))
_MAX_WILDCARDS = 10
#: Patterns with wildcards of one command.
_MAX_PATTERNS = 100


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A LIST, as it was sent."""

    reference: str
    patterns: tuple[str, ...]
    union: frozenset[str] = frozenset()  # Courier's options
    selection: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()
    status: tuple[str, ...] = ()  # of each mailbox, too (RFC 5819)
    metadata: tuple[str, ...] = ()  # entries (RFC 9590)
    is_extended: bool = False


def read(session: Session, arguments: Parser) -> ListRequest:
    """Read the arguments of LIST.

    Raises:
        InvalidArgument: reference or pattern are missing, or there is an option that nobody knows.
    """
    union: frozenset[str] = frozenset()
    selection: frozenset[str] = frozenset()
    is_extended = False
    try:
        arguments.sp()
        if arguments.at(b"("):
            options = frozenset(arguments.parenthesised(arguments.word, empty=True))
            if options and options <= _UNION:
                union = options
            else:
                selection, is_extended = _checked(options), True
            arguments.sp()
        reference = arguments.astring()
        arguments.sp()
        if arguments.at(b"("):
            patterns = arguments.parenthesised(arguments.list_mailbox)
            is_extended = True
        else:
            patterns = [arguments.list_mailbox()]
    except ParseError as error:
        raise InvalidArgument from error
    returned = _Returned(set(), [], [])
    if not arguments.at_end():
        returned = _returned(arguments)
        is_extended = True
        arguments.end()
    if not is_extended and not union and session.settings.extensions:
        # RFC 6154 2 lets a plain LIST tell of special uses. Thunderbird asks no other way where all
        # folders are shown, and where SPECIAL-USE is announced it looks for no folder by its name.
        returned.options.add("SPECIAL-USE")
    return ListRequest(
        *_decoded(session, reference, patterns),
        union,
        selection,
        # RFC 5258 3.1, RFC 6154 2: who selects by something is told of it.
        frozenset(returned.options) | (selection & _RETURN),
        tuple(dict.fromkeys(returned.status)),
        tuple(dict.fromkeys(returned.metadata)),
        is_extended,
    )


def read_plain(session: Session, arguments: Parser) -> ListRequest:
    """Read the arguments of LSUB. Raises as `read`."""
    try:
        arguments.sp()
        reference = arguments.astring()
        arguments.sp()
        wanted = arguments.list_mailbox()
    except ParseError as error:
        raise InvalidArgument from error
    arguments.end()
    return ListRequest(*_decoded(session, reference, [wanted]))


def _decoded(
    session: Session, reference: bytes, patterns: Sequence[bytes]
) -> tuple[str, tuple[str, ...]]:
    """Decode names; what can be none matches nothing, and is no error (RFC 9051 6.3.9)."""
    decoded: list[str | None] = []
    for one in (reference, *patterns):
        try:
            decoded.append(names.decode(one, utf8=session.utf8))
        except names.InvalidName:
            decoded.append(None)
    if decoded[0] is None:
        return "", ()
    return decoded[0], tuple(one for one in decoded[1:] if one is not None)


def patterns(session: Session, request: ListRequest) -> Patterns:
    """Put reference and patterns together as Courier does. Where that can be nothing, nothing fits.

    Raises:
        CommandFailed: there are more patterns than we take.
    """
    base = request.reference.removesuffix(".")
    if base and session.mailboxes.find(base) is None:
        return Patterns([])
    full = []
    for one in request.patterns:
        if not one and request.is_extended:
            continue  # RFC 5258 3: to be ignored
        whole = (f"{base}.{one}" if base else one).removesuffix(".")
        if whole.count("*") + whole.count("%") > _MAX_WILDCARDS:
            continue  # RFC 9051 6.3.9: a pattern that is not accepted is silently ignored
        full.append(whole)
    if sum(1 for one in full if "*" in one or "%" in one) > _MAX_PATTERNS:
        raise CommandFailed(No("Invalid argument", "LIMIT"))
    return Patterns(full)


def _checked(options: frozenset[str]) -> frozenset[str]:
    """See to it that these options can be together.

    Raises:
        InvalidArgument: RFC 5258 3: an option that is not known; 3.1: RECURSIVEMATCH with nothing that
            selects.
    """
    if not options <= _SELECTION:
        raise InvalidArgument
    if "RECURSIVEMATCH" in options and not options & _BASE:
        raise InvalidArgument
    return options


@dataclass(frozen=True, slots=True)
class _Returned:
    options: set[str]
    status: list[str]
    metadata: list[str]


def _returned(arguments: Parser) -> _Returned:
    """Read ``"RETURN" SP "(" [return-option *(SP return-option)] ")"``."""
    arguments.sp()
    if arguments.word() != "RETURN":
        raise arguments.fail("RETURN")
    arguments.sp()
    found = _Returned(set(), [], [])

    def option() -> None:
        name = arguments.word()
        if name == "STATUS":
            arguments.sp()
            found.status.extend(status_items.read(arguments))
        elif name == "METADATA":
            arguments.sp()
            found.metadata.extend(annotation.entries(arguments))
        elif name in _RETURN:
            found.options.add(name)
        else:
            raise arguments.fail("return-option")

    arguments.parenthesised(option, empty=True)
    return found
