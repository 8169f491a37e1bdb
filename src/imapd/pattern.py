"""Matching mailbox names against LIST's patterns (RFC 9051 6.3.9).

``*`` stands for any run of characters, ``%`` for one without the hierarchy separator. All ways
to match are followed at once, one bit per position of the name, so that the cost is pattern
length times name length at the worst.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator

_INBOX = "INBOX"
SEPARATOR = "."
#: Names that begin so are found only by patterns that do (RFC 9051 6.3.9 lets a server choose that).
ELSEWHERE = "#"


def matches(pattern: str, name: str) -> bool:
    """Tell whether ``name`` fits ``pattern``; a leading INBOX fits in any case."""
    # Bit i is set where name[i] is that character: a step moves the set bits on by one.
    places: dict[str, int] = {}
    in_inbox = name == _INBOX or name.startswith(_INBOX + SEPARATOR)
    for index, char in enumerate(name):
        places[char] = places.get(char, 0) | 1 << index
        if in_inbox and index < len(_INBOX):
            places[char.lower()] = places.get(char.lower(), 0) | 1 << index
    end = 1 << len(name)
    everywhere = (end << 1) - 1
    separators = places.get(SEPARATOR, 0)
    reached = 1
    for char in pattern:
        if char == "*":
            reached = everywhere & -(reached & -reached)
        elif char == "%":
            reached = _spread(reached, separators, everywhere)
        else:
            reached = (reached & places.get(char, 0)) << 1
        if not reached:
            return False
    return bool(reached & end)


def may_match_below(pattern: str, name: str) -> bool:
    """Tell whether ``pattern`` may fit a name below the level ``name``."""
    below = name + SEPARATOR
    for index, char in enumerate(pattern):
        if char == "*" and matches(pattern[: index + 1], below):
            return True
    return any(matches(pattern[:end], below) for end in range(1, len(pattern)))


def _spread(reached: int, separators: int, everywhere: int) -> int:
    """Add to the positions all that follow them up to (and not over) a separator.

    Adding a run's first bit to the bits in which a walk may go on carries through the run.
    """
    passable = everywhere & ~separators
    starts = reached & passable
    return reached | ((passable + starts) ^ passable) & everywhere | starts


def levels_above(name: str) -> Iterator[str]:
    """Give the names of all levels above one, the nearest first."""
    at = name.rfind(SEPARATOR)
    while at > 0:
        yield name[:at]
        at = name.rfind(SEPARATOR, 0, at)


def levels_of(names: Iterable[str]) -> set[str]:
    """Give the names of all levels above some names."""
    levels: set[str] = set()
    for name in names:
        for level in levels_above(name):
            if level in levels:
                break  # and so are those above it
            levels.add(level)
    return levels


class Patterns:
    """Several patterns, of which a name has to fit one. Those without wildcards cost next to nothing, and
    those that are a beginning and one wildcard not much more.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = [_RUN.sub(_one_wildcard, one) for one in patterns]
        self._names = {_with_inbox(one) for one in patterns if not _WILDCARDS & set(one)}
        self._sorted = sorted(self._names)
        self._wild = [one for one in patterns if _WILDCARDS & set(one)]
        simple = [one for one in self._wild if _is_simple(one)]
        self._all_below = tuple(one[:-1] for one in simple if one[-1] == "*")
        self._level_below = [one[:-1] for one in simple if one[-1] == "%"]
        self._others = [one for one in self._wild if not _is_simple(one)]

    def matches(self, name: str) -> bool:
        if name in self._names:
            return True
        if name[:1] != ELSEWHERE:
            if name.startswith(self._all_below):
                return True
            for one in self._level_below:
                if name.startswith(one) and SEPARATOR not in name[len(one) :]:
                    return True
        return bool(self._others) and any(
            matches(one, name) for one in self._wild_for(name, self._others)
        )

    @property
    def take_all(self) -> bool:
        """Whether it is plain that all mailboxes of one's own fit, but maybe INBOX."""
        return not _ALL.isdisjoint(self._wild)

    def may_match_below(self, name: str) -> bool:
        """Tell whether one of them may fit a name below the level ``name``."""
        below = name + SEPARATOR
        at = bisect_left(self._sorted, below)
        return (at < len(self._sorted) and self._sorted[at].startswith(below)) or any(
            may_match_below(one, name) for one in self._wild_for(name, self._wild)
        )

    def may_match(self, *, elsewhere: bool) -> bool:
        """Tell whether one of them may fit a name that begins with `ELSEWHERE`, or that does not."""
        return any(one.startswith(ELSEWHERE) == elsewhere for one in (*self._names, *self._wild))

    def _wild_for(self, name: str, patterns: list[str]) -> Iterator[str]:
        if not patterns:
            return iter(())
        elsewhere = name.startswith(ELSEWHERE)
        return (one for one in patterns if one.startswith(ELSEWHERE) == elsewhere)


_WILDCARDS = frozenset("*%")
#: Wildcards without anything between them, which match what one of them does. Without such, each
#: octet of a pattern needs one of the name's, so that a long pattern takes no longer than a short one.
_RUN = re.compile("[*%]{2,}")
_ALL = frozenset(("*", f"{_INBOX}*", f"{_INBOX}{SEPARATOR}*"))


def _one_wildcard(run: re.Match[str]) -> str:
    return "*" if "*" in run[0] else "%"


def _is_simple(pattern: str) -> bool:
    """Tell whether a pattern is a beginning that names have letter by letter, and a wildcard."""
    beginning = pattern[:-1]
    has_case = beginning and not beginning.startswith(_INBOX + SEPARATOR)
    return not has_case and _WILDCARDS.isdisjoint(beginning)


def _with_inbox(name: str) -> str:
    is_inbox = name[:5].upper() == _INBOX and name[:5].isascii() and name[5:6] in ("", SEPARATOR)
    return _INBOX + name[5:] if is_inbox else name
