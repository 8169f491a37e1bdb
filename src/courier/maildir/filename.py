"""Names of message files: base, flags, size. Maildir++ as Courier reads and writes it.

    name = base [":" info]      base: unique, never changes; holds ",S=" and the octets on disk
    info = "2," letters         D F R S T are ours; a-z are Dovecot's keywords, P is "passed"

A base must not contain ":", but a host name with one makes such names. Courier cuts them at the first
colon when it compares messages and names keyword files, at the last one when it reads and writes
flags and writes courierimapuiddb; two files whose names agree up to the first colon are one
message to it. So do we, but write the base to courierimapuiddb as it is compared.
"""

import functools
import re
from collections.abc import Iterable


class Flag:
    """System flags as bits, in the order of their letters on disk.

    Plain numbers: with an enum's, what is done to each of thousands of messages takes ten times as long.
    """

    DRAFT = 1
    FLAGGED = 2
    ANSWERED = 4
    SEEN = 8
    DELETED = 16


LETTERS = b"DFRST"
ALL_FLAGS = 0x1F

#: Digits of the seconds since 1970, from 2001 to 2286.
_TIME_DIGITS = 10

_SAVED = re.compile(rb"([1-9][0-9]{8,9})(?![0-9])")
_SIZE = re.compile(rb",S=([0-9]+)")
_LEADING_NUMBER = re.compile(rb"[ \t\r\f\v]*([+-]?[0-9]+)")


def base(name: bytes) -> bytes:
    """Return the part of ``name`` that identifies the message: all before the first colon."""
    return name.partition(b":")[0]


def flags(name: bytes) -> int:
    """Return the flags in ``name`` as a sum of Flag values; 0 if it has no ``:2,``."""
    _, colon, info = name.rpartition(b":")
    return _flags_of(info) if colon else 0


def with_flags(name: bytes, flags: int) -> bytes:
    """Return ``name`` carrying exactly ``flags``, its letters in ASCII order.

    Letters that are not ours stay, so that a maildir shared with Dovecot keeps its keywords
    (Courier drops them). An info that does not begin with ``2,`` is replaced.
    """
    head, colon, info = name.rpartition(b":")
    if not colon:
        head, info = name, b""
    return head + _info(_foreign_letters(info), flags & ALL_FLAGS)


def stated_size(base: bytes) -> int | None:
    """Return the octets on disk that ``base`` states (``,S=``; the last one counts), else None."""
    stated = _SIZE.findall(base)
    return int(stated[-1]) if stated else None


def arrival(name: bytes) -> tuple[int, bytes]:
    """Return the key by which new messages are ordered before they get UIDs.

    That is the leading number (seconds of arrival), then the bytes up to the first colon. Courier
    subtracts the numbers as C integers and mixes messages up from 2038 on; Python's do not wrap.
    """
    number = _LEADING_NUMBER.match(name)
    return (int(number[1]) if number else 0, name.partition(b":")[0])


def saved_of(names: Iterable[bytes]) -> list[int | None]:
    """Return the times at which files were made, as their names begin; None where one does not so.

    That is seconds since 1970, from 1973 to 2286.
    """
    return [int(found[1]) if (found := _SAVED.match(name)) else None for name in names]


def in_order_of_arrival(bases: Iterable[bytes]) -> list[bytes]:
    """Sort base names as `arrival` would, at once if all begin with a time of today's length."""
    listed = list(bases)
    starts = {base[_TIME_DIGITS : _TIME_DIGITS + 1] for base in listed}
    if starts == {b"."} and b"".join([base[:_TIME_DIGITS] for base in listed]).isdigit():
        return sorted(listed)
    return sorted(listed, key=arrival)


def flags_of(names: Iterable[bytes]) -> bytes:
    """Give the flags of many names, one octet each."""
    known: dict[bytes, int] = {}
    result = bytearray()
    for name in names:
        _, colon, info = name.rpartition(b":")
        if not colon:
            result.append(0)
            continue
        value = known.get(info)
        if value is None:
            value = known[info] = _flags_of(info)
        result.append(value)
    return bytes(result)


def acceptable(name: bytes) -> bool:
    """Whether a file of this name in new/ or cur/ is a message.

    Dot files are not. A name with LF, or with nothing before its colon, can't be recorded in
    courierimapuiddb without damage to other lines, so we act as if the file were not there.
    """
    return not name.startswith((b".", b":")) and name != b"" and b"\n" not in name


@functools.lru_cache(maxsize=1024)
def _flags_of(info: bytes) -> int:
    if not info.startswith(b"2,"):
        return 0
    return sum(1 << bit for bit, letter in enumerate(LETTERS) if letter in info[2:])


@functools.lru_cache(maxsize=1024)
def _foreign_letters(info: bytes) -> bytes:
    if not info.startswith(b"2,"):
        return b""
    return bytes(
        {byte for byte in info[2:] if chr(byte).isascii() and chr(byte).isalpha()}
    ).translate(None, LETTERS)


@functools.lru_cache(maxsize=1024)
def _info(foreign: bytes, flags: int) -> bytes:
    own = (letter for bit, letter in enumerate(LETTERS) if flags >> bit & 1)
    return b":2," + bytes(sorted({*own, *foreign}))
