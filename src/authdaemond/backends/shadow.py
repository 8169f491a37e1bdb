"""/etc/shadow, shadow(5). Python's `spwd` is gone since 3.13."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SHADOW = Path("/etc/shadow")
_FIELDS = 9


@dataclass(frozen=True, slots=True)
class Entry:
    """A user's hash, and the days, counted from 1970, on which it was changed and expires."""

    stored: bytes
    changed: int | None
    longest: int | None
    expires: int | None

    def account_has_expired(self, today: int) -> bool:
        return self.expires is not None and 0 < self.expires < today

    def password_has_expired(self, today: int) -> bool:
        if self.changed is None or self.longest is None:
            return False
        return self.changed + self.longest < today


def entry(name: str, path: Path = SHADOW) -> Entry | None:
    """Return a user's entry; None: there is none.

    Raises:
        OSError: the file can't be read.
    """
    begin = name.encode("utf-8", "surrogateescape") + b":"
    with path.open("rb") as lines:
        for line in lines:
            fields = line.rstrip(b"\n").split(b":")
            if line.startswith(begin) and len(fields) == _FIELDS:
                _, stored, changed, _, longest, _, _, expires, _ = fields
                return Entry(stored, _days(changed), _days(longest), _days(expires))
    return None


def _days(field: bytes) -> int | None:
    return int(field) if field.isdigit() else None
