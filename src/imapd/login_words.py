"""What stands behind LOGIN: userid and password, as IMAP has them (RFC 9051 6.2.3) or as SMAP's clients do."""

from __future__ import annotations

import re

from imapd.smap.words import Words
from imapd.wire.parser import ParseError, Parser

#: One that escapes nothing in IMAP's quoted strings.
_BACKSLASH = re.compile(rb'\\[^"\\]')


def two_strings(arguments: Parser, *, is_lenient: bool = False) -> tuple[bytes, bytes]:
    """``userid SP password``"""
    read = arguments.login_word if is_lenient else arguments.astring
    userid = read()
    arguments.sp()
    password = read()
    arguments.end()
    return userid, password


def as_cone_quotes(arguments: Parser) -> tuple[bytes, bytes]:
    """Read two strings of IMAP's, or two words of SMAP's: there quotes are doubled, and backslashes are none.

    Courier takes IMAP's alone, and who has such a character in his password can't log in by Cone.

    Raises:
        ParseError: these are neither.
    """
    rest = arguments.rest()
    if not _BACKSLASH.search(rest) or b"\n" in rest.rstrip():
        try:
            return two_strings(arguments.copy())
        except ParseError:
            pass
    found = [word.encode("utf-8", "surrogateescape") for word in Words(rest).rest()]
    if len(found) != 2:
        raise arguments.fail("userid SP password")
    return found[0], found[1]
