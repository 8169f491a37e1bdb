"""What FETCH asks for: items, sections of messages, some of their octets (RFC 9051 6.4.5; RFC 3516, RFC 8970).

Every function is named after the rule it reads, as the methods of `Parser`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from imapd.wire import grammar
from imapd.wire.parser import Parser
from imapd.wire.section import Section, SectionText

_FAST = ("FLAGS", "INTERNALDATE", "RFC822.SIZE")
_MACROS = {"FAST": _FAST, "ALL": (*_FAST, "ENVELOPE"), "FULL": (*_FAST, "ENVELOPE", "BODY")}
_SIMPLE_ITEMS = frozenset(
    (
        "BODY",
        "BODYSTRUCTURE",
        "EMAILID",
        "ENVELOPE",
        "FLAGS",
        "INTERNALDATE",
        "MODSEQ",
        "RFC822",
        "RFC822.HEADER",
        "RFC822.SIZE",
        "RFC822.TEXT",
        "SAVEDATE",
        "THREADID",
        "UID",
    )
)


@dataclass(frozen=True, slots=True)
class FetchItem:
    """One fetch-att. ``partial`` is the first octet and the count."""

    name: str  # "FLAGS", "BODY", "RFC822.TEXT", …; a section makes it "BODY[]" or "BINARY[]"
    section: Section | None = None
    peek: bool = False
    partial: tuple[int, int] | None = None


def fetch_items(parser: Parser) -> list[FetchItem]:
    """``fetch-att``, a list of them, or a macro, which stands alone (RFC 9051 6.4.5)."""
    if parser.at(b"("):
        return _without_repetitions(parser.parenthesised(partial(_fetch_att, parser)))
    macro = _MACROS.get(parser.peek_word())
    if macro is not None:
        parser.word()
        return [FetchItem(item) for item in macro]
    return [_fetch_att(parser)]


def _fetch_att(parser: Parser) -> FetchItem:
    name = parser.word()
    if name == "BODY.PEEK" or (name == "BODY" and parser.at(b"[")):
        return FetchItem("BODY[]", section(parser), name == "BODY.PEEK", _partial(parser))
    if name in ("BINARY", "BINARY.PEEK"):
        numbers = section_binary(parser)
        return FetchItem("BINARY[]", numbers, name == "BINARY.PEEK", _partial(parser))
    if name == "PREVIEW":
        return FetchItem("PREVIEW LAZY" if parser.optional(grammar.LAZY) else name)
    if name == "BINARY.SIZE":
        return FetchItem(name, section_binary(parser))
    if name not in _SIMPLE_ITEMS:
        raise parser.fail("fetch-att")
    return FetchItem(name)


def section(parser: Parser) -> Section:
    """``section``."""
    if not parser.optional_byte(b"["):
        raise parser.fail("section")
    part: tuple[int, ...] = ()
    numbers = parser.optional(grammar.SECTION_PART)
    if numbers is not None:
        part = tuple(map(int, numbers[0].split(b".")))
        if max(part) > grammar.MAX_NUMBER:
            raise parser.fail("section-part")
    text = None
    fields: tuple[bytes, ...] = ()
    if not parser.at(b"]"):
        if numbers is not None and not parser.optional_byte(b"."):
            raise parser.fail("section-spec")
        word = parser.match(grammar.SECTION_TEXT, "section-text")[0].upper()
        text = SectionText(word)
        if text in (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT):
            parser.sp()
            fields = tuple(parser.parenthesised(partial(_field_name, parser)))
    if not parser.optional_byte(b"]") or (text is SectionText.MIME and not part):
        raise parser.fail("section")
    return Section(part, text, fields)


def section_binary(parser: Parser) -> Section:
    """``section-binary``: numbers alone (RFC 3516 7)."""
    found = section(parser)
    if found.text is not None:
        raise parser.fail("section-binary")
    return found


def _field_name(parser: Parser) -> bytes:
    """``header-fld-name``: any astring (RFC 9051 9), also what is no field's name."""
    name = parser.astring()
    if b"\0" in name:
        raise parser.fail("header-fld-name")
    return name


def _partial(parser: Parser) -> tuple[int, int] | None:
    match = parser.optional(grammar.PARTIAL)
    if match is None:
        if parser.at(b"<"):
            raise parser.fail("partial")
        return None
    start, count = int(match[1]), int(match[2])
    if start > grammar.MAX_NUMBER64 or count > grammar.MAX_NUMBER64:
        raise parser.fail("partial")
    return start, count


def _without_repetitions(items: Iterable[FetchItem]) -> list[FetchItem]:
    """Leave out what has been asked for already; the octets of a section may be wanted twice."""
    found: set[str] = set()
    kept = []
    for item in items:
        if item.section is None:
            if item.name in found:
                continue
            found.add(item.name)
        kept.append(item)
    return kept
