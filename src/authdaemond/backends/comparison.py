"""What the password of the request under way was compared with, for the dispatcher to know.

A worker has one request at a time, and a process of its own.
"""

from __future__ import annotations

from courier.auth import passwords
from courier.auth.account import Secret

_made: bytes | None = None


def begin() -> None:
    """A request begins: nothing was compared yet."""
    note(None)


def made() -> bytes | None:
    """Give what was compared with, as `passwords.nobodys` has it; None: nothing was."""
    return _made


def with_stored(stored: Secret | None) -> None:
    """A stored password was; that of a locked account is no comparison."""
    note(passwords.nobodys(stored.reveal()) or None if stored else None)


def with_clear_text() -> None:
    """The password itself was, or something else that costs this process nothing."""
    note(b"")


def note(compared: bytes | None) -> None:
    global _made  # noqa: PLW0603  as there is one request
    _made = compared
