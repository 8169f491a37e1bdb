"""Have /bin/sh evaluate settings files, as Courier's start scripts do, and take its variables.

The shell starts with an empty environment, `set -a`, in `/`, its input empty; what the files print
goes to the log as warnings. It is given 10 seconds, then it and its children are killed.
"""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from courier import log

SHELL = "/bin/sh"
TIMEOUT_S = 10

# Each file's variables are written behind it on descriptor 3: `env -0`, then an empty record.
_SCRIPT = """
exec 3>&1 1>&2
set -a
for PYCOURIER_FILE; do
    . "$PYCOURIER_FILE"
    /usr/bin/env -0 >&3
    printf '\\0' >&3
done
"""
_OWN_VARIABLES = {"PYCOURIER_FILE", "PWD", "OLDPWD", "SHLVL", "_"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_MESSAGES = (
    re.compile(r"sh: (?P<line>\d+): (?P<source>/[^:]+): (?P<reason>.*)"),  # dash
    re.compile(r"(?:sh: )?(?P<source>/[^:]+): line (?P<line>\d+): (?P<reason>.*)"),  # bash
)


class Failed(Exception):
    """The shell gave up; ``line`` is 0 if it didn't say where."""

    def __init__(self, source: str, line: int, reason: str) -> None:
        super().__init__(reason)
        self.source = source
        self.line = line
        self.reason = reason


def environments(files: Sequence[Path], preset: Mapping[str, str]) -> list[dict[str, str]]:
    """Return all variables as they stand after each of ``files``.

    Raises:
        Failed: a syntax error, `exit`, or time is up.
    """
    paths = [os.path.abspath(path) for path in files]  # a bare name would be searched in PATH
    output, messages = _run(paths, preset)
    records = output.split("\0\0")[:-1] if output else []
    if len(records) < len(paths):
        raise _failure(paths[len(records)], messages)
    for message in messages:
        log.warn(message)
    return [_variables(record) for record in records]


def _run(paths: Sequence[str], preset: Mapping[str, str]) -> tuple[str, list[str]]:
    process = subprocess.Popen(
        [SHELL, "-c", _SCRIPT, "sh", *paths],
        env=preset,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        encoding="utf-8",
        errors="surrogateescape",
    )
    with process:
        try:
            output, messages = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # not waited for yet: the group still is ours
            raise Failed(paths[0], 0, f"not evaluated within {TIMEOUT_S} seconds") from None
    return output, messages.splitlines()


def _failure(path: str, messages: Sequence[str]) -> Failed:
    for message in reversed(messages):
        for pattern in _MESSAGES:
            if match := pattern.match(message):
                return Failed(match["source"], int(match["line"]), match["reason"])
    return Failed(path, 0, " / ".join(messages) or "the shell ended before the end of the file")


def _variables(record: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in record.split("\0"))
    return {
        name: value for name, _, value in pairs if _NAME.match(name) and name not in _OWN_VARIABLES
    }
