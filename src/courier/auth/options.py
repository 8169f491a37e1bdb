"""Account options: the text `name=value,name=value` (courier-authlib's OPTIONS).

Values hold no comma; nothing is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LEADING_DIGITS = re.compile(r"[0-9]{1,18}")


def get(options: str | None, name: str) -> str | None:
    """Return the first value of ``name``; a name alone has an empty one. None: not there."""
    return next(iter(get_all(options, name)), None)


def get_all(options: str | None, name: str) -> list[str]:
    """Return every value of an option that may be given several times, as `group`."""
    return [value for found, value in _items(options) if found == name]


def is_on(options: str | None, name: str) -> bool:
    """Whether an option reads as true: a number but 0, `t…`, `y…`, or the name alone."""
    value = get(options, name)
    if value is None:
        return False
    digits = _LEADING_DIGITS.match(value)
    return bool(digits and int(digits[0])) or value[:1] in ("", "t", "T", "y", "Y")


def merged(options: str | None, defaults: str) -> str | None:
    """Add those of ``defaults`` whose names the account's own options don't have."""
    if not options:
        return defaults or options
    own = {name for name, _ in _items(options)}
    added = [item for item in defaults.split(",") if item and item.partition("=")[0] not in own]
    return ",".join([options, *added])


def _items(options: str | None) -> Iterator[tuple[str, str]]:
    for item in (options or "").split(","):
        name, _, value = item.partition("=")
        if name:
            yield name, value
