"""Whether the trash counts in quotas: MAILDIR_TRASHQUOTA, in the environment or in imapd's settings."""

from __future__ import annotations

import os

from courier import paths, shell
from courier import setting_reader as read

_NAME = "MAILDIR_TRASHQUOTA"


def is_counted() -> bool:
    """Read the setting. What can't be read is taken for 0, as an unset one is."""
    try:
        value = os.environ.get(_NAME)
        if value is None:
            found = shell.read([paths.SYSCONFDIR / "imapd"], paths.SHELL_VARIABLES).get(_NAME)
            value = found.value if found is not None else "0"
        return read.flag(value)
    except (OSError, shell.ShellError, read.Expected):
        return False
