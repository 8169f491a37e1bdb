"""What a maildir may hold, and what it holds: the values of a Maildir++ quota. See `quota`."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass

from courier import log

_LIMIT = re.compile(r"([0-9]{1,18})[0-9]*(.?)", re.DOTALL)


class OverQuota(OSError):
    """There is no room for a message in what its account may hold."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EDQUOT, os.strerror(errno.EDQUOT), path)


@dataclass(frozen=True, slots=True)
class Usage:
    """Octets and messages: what is used, or what is about to be added."""

    octets: int = 0
    messages: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.octets + other.octets, self.messages + other.messages)

    def __neg__(self) -> Usage:
        return Usage(-self.octets, -self.messages)

    def __bool__(self) -> bool:
        return self.octets != 0 or self.messages != 0


NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a maildir may hold; 0 is as much as there may be."""

    octets: int = 0
    messages: int = 0

    @classmethod
    def parse(cls, text: str) -> Limits:
        """Read a quota as Courier does: what is no number with S or C behind it is passed over."""
        found = {"S": 0, "C": 0}
        for number, unit in _LIMIT.findall(text):
            if unit in found:
                found[unit] = int(number)
            else:
                log.warn(f"quota string '{text}' not parseable")
        return cls(found["S"], found["C"])

    def __str__(self) -> str:
        pairs = ((self.octets, "S"), (self.messages, "C"))
        return ",".join(f"{limit}{unit}" for limit, unit in pairs if limit)

    def __bool__(self) -> bool:
        return self.octets > 0 or self.messages > 0

    def allow(self, used: Usage) -> bool:
        return (not self.octets or used.octets <= self.octets) and (
            not self.messages or used.messages <= self.messages
        )

    def percentage(self, used: Usage) -> int:
        """How full it is, by the limit that is nearer; rounded down."""
        shares = ((used.octets, self.octets), (used.messages, self.messages))
        return max((max(part, 0) * 100 // whole for part, whole in shares if whole), default=0)
