"""System calls that a test lets fail, or counts, by whatever way a process makes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from courier.maildir import filesystem

Call = Callable[..., Any]


def replace_calls(
    patch: pytest.MonkeyPatch, names: Iterable[str], wrapped: Callable[[str, Call], Call]
) -> None:
    """Put in place of each call what ``wrapped`` makes of its name and the call itself."""
    for name in names:
        patch.setattr(os, name, wrapped(name, getattr(os, name)))
        if name == "rename":
            exclusively = wrapped(name, filesystem.rename_exclusively)
            patch.setattr(filesystem, "rename_exclusively", exclusively)
