"""The section of a FETCH item, as a value: ``BODY[1.2.HEADER.FIELDS (To)]`` (RFC 9051 6.4.5)."""

import enum
from dataclasses import dataclass


class SectionText(enum.Enum):
    """What of a part is meant."""

    HEADER = b"HEADER"
    HEADER_FIELDS = b"HEADER.FIELDS"
    HEADER_FIELDS_NOT = b"HEADER.FIELDS.NOT"
    TEXT = b"TEXT"
    MIME = b"MIME"


@dataclass(frozen=True, slots=True)
class Section:
    """A part by its numbers (none: the message), and what of it (None: all)."""

    part: tuple[int, ...] = ()
    text: SectionText | None = None
    fields: tuple[bytes, ...] = ()  # names, in the case given
