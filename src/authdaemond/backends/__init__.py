"""What authdaemond knows accounts from: one module for each, under the name in authmodulelist."""

from __future__ import annotations

import importlib

from authdaemond.backends.backend import Backend

KNOWN = (
    *("authuserdb", "authpam", "authpwd", "authshadow", "authldap", "authmysql", "authpgsql"),
    *("authsqlite", "authpipe", "authcustom", "authvchkpw", "authoauth2"),
)


class NotInstalled(Exception):
    """There is no such backend, or what it needs isn't installed, which the text says."""


def load(name: str) -> type[Backend]:
    """Return the backend of that name.

    Raises:
        NotInstalled: it can't be used here.
    """
    if name not in KNOWN:
        raise NotInstalled("file not found")  # Courier's words
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except ImportError as error:
        if error.name == f"{__name__}.{name}":
            missing = f"its package pycourier-auth-{name.removeprefix('auth')} is not installed"
            raise NotInstalled(f"{name} can't be used: {missing}") from None
        raise NotInstalled(f"{name} can't be used: {error}") from error
    found: type[Backend] = module.BACKEND
    return found
