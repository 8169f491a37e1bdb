"""Terminal symbols of the IMAP grammar as patterns, each under its ABNF rule (RFC 3501 9).

Where Courier is more liberal and clients may rest on it, so are these, and say so. No pattern
can match one text in two ways: matching is linear in what is matched.
"""

import re
from typing import Final

_ATOM_SPECIAL: Final = rb'\x00-\x20(){%*"\\\x7f-\xff'

#: 1*SP. Courier: tabs and runs of white space too.
SP: Final = re.compile(rb"[ \t]+")
#: [SP "(" preview-mod *(SP preview-mod) ")"], not to be taken for fetch-modifiers
LAZY: Final = re.compile(rb"[ \t]+\(LAZY(?: LAZY)*\)", re.I)
#: CRLF at the end of a command. Courier: bare LF, and white space before it.
END: Final = re.compile(rb"[ \t]*\r?\n?\Z")
#: 1*ATOM-CHAR
ATOM: Final = re.compile(rb"[^" + _ATOM_SPECIAL + rb"\]]+")
#: 1*ASTRING-CHAR
ASTRING: Final = re.compile(rb"[^" + _ATOM_SPECIAL + rb"]+")
#: The same in LOGIN, of clients that do not quote. Courier, as Debian builds it: so, too.
LOGIN_WORD: Final = re.compile(rb'[^\x00-\x20{"\\\x7f-\xff]+')
#: 1*<any ASTRING-CHAR except "+">. Courier takes nearly anything as a tag.
TAG: Final = re.compile(rb"[^" + _ATOM_SPECIAL + rb"+]{1,128}")
#: list-mailbox: 1*list-char
LIST_MAILBOX: Final = re.compile(rb'[^\x00-\x20(){"\\\x7f-\xff]+')
#: quoted. Courier: a backslash quotes any octet, and 8-bit text is taken if it is UTF-8.
QUOTED: Final = re.compile(rb'"([^\x00\r\n"\\]*(?:\\[^\x00\r\n][^\x00\r\n"\\]*)*)"')
QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)
#: literal, with LITERAL+ (RFC 7888) and literal8 (RFC 3516)
LITERAL: Final = re.compile(rb"(~?)\{([0-9]{1,20})(\+?)\}\r?\n")
#: the same at the end of what has been read of a command, of any size
LITERAL_AT_END: Final = re.compile(rb"(~?)\{([0-9]+)(\+?)\}\r?\n\Z")
#: number: 32 bits; int() of ten digits is cheap
NUMBER: Final = re.compile(rb"[0-9]{1,10}(?![0-9])")
MOD_SEQUENCE: Final = re.compile(rb"(?:0|[1-9][0-9]{0,18})(?![0-9])")
MAX_MOD_SEQUENCE: Final = (1 << 63) - 1
#: number64: 63 bits
NUMBER64: Final = re.compile(rb"[0-9]{1,19}(?![0-9])")
NZ_NUMBER: Final = re.compile(rb"[1-9][0-9]{0,9}(?![0-9])")
#: sequence-set as a whole; its numbers are checked one by one afterwards
SEQUENCE_SET: Final = re.compile(rb"[0-9*:,]+")
SEQ_RANGE: Final = re.compile(rb"([1-9][0-9]{0,9}|\*)(?::([1-9][0-9]{0,9}|\*))?")
#: partial-range (RFC 9394 4): two numbers with the same sign
PARTIAL_RANGE: Final = re.compile(rb"((-?)[1-9][0-9]{0,9}):(\2[1-9][0-9]{0,9})(?![0-9])")
#: flag: "\" atom / atom
FLAG: Final = re.compile(rb"\\?[^" + _ATOM_SPECIAL + rb"\]]+")
#: date: day of one or two digits, English month, year of four
DATE: Final = re.compile(rb"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
#: date-time, between its quotes
DATE_TIME: Final = re.compile(
    rb'"([ 0-9]?[0-9])-([A-Za-z]{3})-([0-9]{4}) '
    rb'([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)
#: partial: "<" number64 "." nz-number64 ">"
PARTIAL: Final = re.compile(rb"<([0-9]{1,19})\.([1-9][0-9]{0,18})>")
#: section-part: nz-number *("." nz-number); bounded, for nobody nests deeper
SECTION_PART: Final = re.compile(rb"[1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9}){0,127}")
#: the word of a section after its part
SECTION_TEXT: Final = re.compile(rb"HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME", re.I)
#: objectid
OBJECTID: Final = re.compile(rb"[A-Za-z0-9_-]{1,255}(?![A-Za-z0-9_-])")
#: the beginning of a fetch-att, a search-key, a status-att: letters, digits and ".-="
KEYWORD: Final = re.compile(rb"[A-Za-z][A-Za-z0-9.\-=]*")

MONTHS: Final = {
    month: number
    for number, month in enumerate(
        (
            b"jan",
            b"feb",
            b"mar",
            b"apr",
            b"may",
            b"jun",
            b"jul",
            b"aug",
            b"sep",
            b"oct",
            b"nov",
            b"dec",
        ),
        start=1,
    )
}
MAX_NUMBER: Final = 0xFFFFFFFF
#: number64
MAX_NUMBER64: Final = (1 << 63) - 1
