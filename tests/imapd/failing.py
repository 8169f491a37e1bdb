"""System calls that fail, one after the other: whatever a command does on disk, in every place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.calls import Call, replace_calls

#: Calls that a full or broken disk can refuse. Removing is not among them: a full disk allows it.
CALLS = ("open", "write", "fsync", "utime", "link", "rename", "mkdir", "listdir")


class Calls:
    """Counts calls, and makes one of them fail."""

    def __init__(self, failing: int, code: int) -> None:
        self.made = 0
        self.failed: str | None = None
        self._failing = failing
        self._code = code

    def wrapped(self, name: str, call: Call) -> Call:
        def either(*arguments: object, **named: object) -> object:
            self.made += 1
            if self.made - 1 == self._failing:
                self.failed = name
                raise OSError(self._code, os.strerror(self._code), arguments[0])
            return call(*arguments, **named)

        return either


@contextmanager
def failing_call(number: int, code: int = errno.ENOSPC) -> Iterator[Calls]:
    """Let the call of this number, from 0, fail, of those made in the block."""
    calls = Calls(number, code)
    with pytest.MonkeyPatch.context() as patch:
        replace_calls(patch, CALLS, calls.wrapped)
        yield calls
