"""SASLprep: the one form of a userid or password that may be typed in several (RFC 4013)."""

from __future__ import annotations

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class Unprepared(ValueError):
    """No text, or text that SASLprep prohibits."""


def prepared(octets: bytes) -> bytes:
    """Return the prepared form of UTF-8, for comparison: unassigned code points stay.

    Raises:
        Unprepared: it has none. An empty one is one.
    """
    if octets.isascii():  # the common case, and its only rule
        if any(octet < 32 or octet == 127 for octet in octets):
            raise Unprepared
        return octets
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise Unprepared from None
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    normal = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(prohibits(character) for character in normal for prohibits in _PROHIBITED):
        raise Unprepared
    _check_direction(normal)
    return normal.encode()


def _check_direction(text: str) -> None:
    """RFC 3454 6: what is written from the right is so from end to end."""
    if not any(map(stringprep.in_table_d1, text)):
        return
    if any(map(stringprep.in_table_d2, text)):
        raise Unprepared
    if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise Unprepared


def password(octets: bytes) -> bytes:
    """Prepare a password. One that can't be is taken as it is: no client can send it by SCRAM, but
    there are other mechanisms."""
    try:
        return prepared(octets)
    except Unprepared:
        return octets
