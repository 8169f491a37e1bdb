"""Matching mailbox names against LIST's patterns (RFC 9051 6.3.9).

``*`` stands for any run of characters, ``%`` for one without the hierarchy separator. All ways
to match are followed at once, one bit per position of the name, so that the cost is pattern
length times name length at the worst.
"""

_INBOX = "INBOX"
SEPARATOR = "."


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
