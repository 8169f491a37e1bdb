"""What authdaemond knows accounts from: one module for each, under the name in authmodulelist."""

from __future__ import annotations

import importlib

from authdaemond.backends.backend import Backend

KNOWN = ("authuserdb", "authpam", "authpwd", "authshadow")


def load(name: str) -> type[Backend] | None:
    """Return the backend of that name; None: there is none, or what it needs isn't installed."""
    if name not in KNOWN:
        return None
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except ImportError:
        return None
    found: type[Backend] = module.BACKEND
    return found
