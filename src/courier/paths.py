"""Where an installation keeps its files: Debian's places, each said once.

An environment variable overrides a path, for a checkout and for tests. No program of ours is
set-id, so whoever can set these variables could as well run another program.
"""

import os
from pathlib import Path


def _place(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or default)


PREFIX = _place("PYCOURIER_PREFIX", "/usr")
SYSCONFDIR = _place("PYCOURIER_SYSCONFDIR", "/etc/courier")
LOCALSTATEDIR = _place("PYCOURIER_LOCALSTATEDIR", "/var/lib/courier")
RUNDIR = _place("PYCOURIER_RUNDIR", "/run/courier")
#: userdb's text, a file or a directory; its compiled files are beside it.
USERDB = _place("PYCOURIER_USERDB", str(SYSCONFDIR / "userdb"))

# Courier: its start scripts set these before they read a settings file, so a file may use them.
SHELL_VARIABLES = {
    "prefix": str(PREFIX),
    "exec_prefix": str(PREFIX),
    "bindir": str(PREFIX / "bin"),
    "libexecdir": str(PREFIX / "lib/courier"),
}
