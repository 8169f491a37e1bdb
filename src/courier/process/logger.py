"""From lines on a pipe to syslog, as courierlogger does it.

A line's prefix, `ERR:` and its like, is its priority and isn't passed on; LOGGEROPTS may name the
facility and the program: `-facility=local1 -name=authdaemond`.
"""

from __future__ import annotations

import os
import re
import syslog
from collections.abc import Sequence

_PREFIX = re.compile(r"(ERR|WARN|ALERT|CRIT|DEBUG|INFO): *")
_PRIORITIES = {
    "ALERT": syslog.LOG_ALERT,
    "CRIT": syslog.LOG_CRIT,
    "ERR": syslog.LOG_ERR,
    "WARN": syslog.LOG_WARNING,
    "INFO": syslog.LOG_INFO,
    "DEBUG": syslog.LOG_DEBUG,
}
#: courierlogger(1): those of its facilities that the system has.
FACILITIES = {"security": syslog.LOG_AUTH} | {
    name: getattr(syslog, f"LOG_{name.upper()}", syslog.LOG_MAIL)
    for name in (
        *("auth", "authpriv", "console", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news"),
        *("user", "uucp", *(f"local{number}" for number in range(8))),
    )
}
_LONGEST_LINE = 8192
_BLOCK = 64 * 1024


class Logger:
    """Reads a pipe's lines; ``fileno()`` is its end for a selector."""

    def __init__(
        self, pipe: int, options: Sequence[str], name: str, *, blocks: bool = False
    ) -> None:
        """``name``: the program's, unless LOGGEROPTS has another. ``blocks``: it may wait for input."""
        self._pipe = pipe
        self._name = name
        self._rest = b""
        if not blocks:
            os.set_blocking(pipe, False)
        self.configure(options)

    def fileno(self) -> int:
        return self._pipe

    def configure(self, options: Sequence[str]) -> None:
        """Take LOGGEROPTS; what isn't known there is left alone."""
        values = dict(option.lstrip("-").partition("=")[::2] for option in options)
        facility = FACILITIES.get(values.get("facility", "mail"), syslog.LOG_MAIL)
        syslog.openlog(values.get("name", self._name), 0, facility)

    def pass_on(self) -> bool:
        """Send what is there to syslog; False at the end of the stream."""
        try:
            data = os.read(self._pipe, _BLOCK)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (len(self._rest) > _LONGEST_LINE or not data):
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            priority, text = priority_of(line.decode("utf-8", "backslashreplace"))
            syslog.syslog(priority, text.replace("\0", "."))
        return bool(data)


def priority_of(line: str) -> tuple[int, str]:
    """Take the prefix off a line."""
    if match := _PREFIX.match(line):
        return _PRIORITIES[match[1]], line[match.end() :]
    return syslog.LOG_INFO, line
