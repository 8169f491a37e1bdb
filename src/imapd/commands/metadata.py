"""GETMETADATA and SETMETADATA: annotations of mailboxes and of the server. RFC 5464 4."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from courier.maildir.annotations import Annotations
from courier.process.request import Work
from imapd import annotation, mailbox
from imapd.completion import Completion, No, Ok
from imapd.request import Handling
from imapd.wire import writer
from imapd.wire.parser import ParseError, Parser

if TYPE_CHECKING:
    from imapd.session import Session

#: Octets of values in one response, at the most if there is more than one.
_SLICE_OCTETS = 65536
_UNBOUNDED = 1 << 30


@dataclass(slots=True)
class _Options:
    """What GETMETADATA may say beside names (RFC 5464 4.2.1, 4.2.2)."""

    max_size: int | None = None
    depth: int = 0


def getmetadata(session: Session, arguments: Parser) -> Handling:
    # RFC 5464 5 has the options before the mailbox, its examples behind.
    options = _Options()
    ahead = _after_sp(arguments)
    if ahead.at(b"("):
        arguments.sp()
        options = _options(arguments)
    name = mailbox.argument(session, arguments)
    arguments.sp()
    if _begins_options(arguments.copy()):
        options = _options(arguments)
        arguments.sp()
    wanted = annotation.entries(arguments)
    arguments.end()

    found = annotation.readable(session, name, "GETMETADATA")
    told = yield Work(lambda: _picked(annotation.read(session, found), wanted, options.depth))
    limit = _UNBOUNDED if options.max_size is None else options.max_size
    longest = max((len(value) for value in told.values() if value is not None), default=0)
    fitting = {entry: value for entry, value in told.items() if len(value or b"") <= limit}
    yield from responses(session, name, fitting)
    code = f"METADATA LONGENTRIES {longest}" if longest > limit else ""
    return Ok("GETMETADATA completed.", code)


def setmetadata(session: Session, arguments: Parser) -> Handling:
    name = mailbox.argument(session, arguments)
    arguments.sp()
    changes: dict[str, bytes | None] = {}

    def pair() -> None:
        entry = annotation.entry(arguments)
        if not annotation.has_value(entry):
            raise arguments.fail("entry")
        arguments.sp()
        changes[entry.lower()] = arguments.nstring()

    arguments.parenthesised(pair)
    arguments.end()

    found = annotation.readable(session, name, "SETMETADATA")
    try:
        yield Work(partial(annotation.change, session, found, changes))
    except PermissionError:
        return No("These annotations can't be changed.", "NOPERM")
    session.notifier.annotated(name if found is None else found.name, changes)
    return Ok("SETMETADATA completed.")


def literal_too_long(session: Session) -> Completion:
    """Say that a value is larger than a command may be, and so than any annotation."""
    return annotation.too_large(session.settings)


def responses(session: Session, name: str, values: Mapping[str, bytes | None]) -> Iterator[bytes]:
    """Write METADATA responses, as many as keep them of bearable size; none for no values."""
    pairs: list[bytes] = []
    octets = 0
    for entry, value in values.items():
        pairs.append(writer.astring(entry.encode()) + b" " + _value(value))
        octets += len(pairs[-1])
        if octets > _SLICE_OCTETS:
            yield _response(session, name, pairs)
            pairs, octets = [], 0
    if pairs:
        yield _response(session, name, pairs)


def valued(values: Annotations, wanted: Iterable[str]) -> dict[str, bytes | None]:
    """Give the value of each entry, None for those that have none."""
    return _picked(values, wanted, 0)


def entries_line(session: Session, name: str, entries: Iterable[str]) -> bytes:
    """Write the response that names entries whose values have changed (RFC 5464 4.4.2)."""
    told = b" ".join(writer.astring(entry.encode()) for entry in entries)
    return b"* METADATA " + mailbox.quoted(session, name).encode() + b" " + told + b"\r\n"


def _response(session: Session, name: str, pairs: list[bytes]) -> bytes:
    told = mailbox.quoted(session, name).encode()
    return b"* METADATA " + told + b" (" + b" ".join(pairs) + b")\r\n"


def _value(value: bytes | None) -> bytes:
    if value is None:
        return b"NIL"
    return writer.literal8(value) if b"\0" in value else writer.string(value)


def _picked(values: Annotations, wanted: Iterable[str], depth: int) -> dict[str, bytes | None]:
    """Give the entries asked for, in the order asked for, each with those below it (RFC 5464 4.2.2)."""
    told: dict[str, bytes | None] = {}
    seen: set[str] = set()
    asked: set[str] = set()
    names = sorted(values) if depth else []
    spelt = dict.fromkeys(wanted)
    for entry in spelt:
        key = entry.lower()
        if key in asked:
            continue
        asked.add(key)
        if key in values and key not in seen:
            told[entry] = values[key]
        elif key not in seen and not depth:
            told[entry] = None
        seen.add(key)
        below = key + "/"
        for at in range(bisect(names, below), len(names)):
            other = names[at]
            if not other.startswith(below):
                break
            if other[len(below) :].count("/") < depth and other not in seen:
                told[other] = values[other]
                seen.add(other)
    # RFC 5464 4.2: there is a response in any case.
    return told or dict.fromkeys(spelt)


# -- grammar -------------------------------------------------------------------------------


def _after_sp(arguments: Parser) -> Parser:
    ahead = arguments.copy()
    try:
        ahead.sp()
    except ParseError:
        pass
    return ahead


def _begins_options(ahead: Parser) -> bool:
    """Tell options from entries, which begin with a slash."""
    return bool(ahead.one_of(b"(")) and ahead.peek_word() != ""


def _options(arguments: Parser) -> _Options:
    options = _Options()

    def option() -> None:
        word = arguments.word()
        arguments.sp()
        if word == "MAXSIZE":
            options.max_size = arguments.number()
        elif word == "DEPTH":
            depth = arguments.astring().lower()
            if depth not in _DEPTHS:
                raise arguments.fail("scope-opt")
            options.depth = _DEPTHS[depth]
        else:
            raise arguments.fail("getmetadata-option")

    arguments.parenthesised(option)
    return options


_DEPTHS = {b"0": 0, b"1": 1, b"infinity": _UNBOUNDED}
