"""How a command fails: the text of its ``-ERR`` (SMAP knows no codes)."""

from __future__ import annotations

import errno
import os

from courier.maildir.quota import OverQuota


class Refused(Exception):
    """The command ends with this text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class SyntaxRefused(Refused):
    """There is no such command, or it lacks what it needs."""

    def __init__(self) -> None:
        super().__init__("Syntax error.")


class AccessDenied(Refused):
    """A right is missing."""

    def __init__(self, right: str) -> None:
        super().__init__(f'Access denied: ACL "{right}" is required')


def because(error: OSError) -> str:
    """Give the system's text for an error. Courier: a quota is a full disk."""
    if isinstance(error, OverQuota):
        return os.strerror(errno.ENOSPC)
    return os.strerror(error.errno) if error.errno else "system error"


def invalid() -> OSError:
    """Give the system's error for what can't be meant."""
    return OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def missing() -> OSError:
    """Give the system's error for what is not there."""
    return OSError(errno.ENOENT, os.strerror(errno.ENOENT))


def failed(what: str, error: OSError | None = None) -> Refused:
    """Say what failed, and why: what was asked for, unless it is said."""
    return Refused(f"{what}: {because(error or invalid())}")
