"""TLS that another program speaks for a log-in: couriertls, ours or Courier's.

On ports of its own couriertls is there first, and starts the log-in program. For STARTTLS the log-in
program starts couriertls, and hears by descriptors what came of the handshake:

    -statusfd     closed if it went well, else one line that says why
    -printx509    who the other end is, in lines; then closed
    -localfd      the plain text
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from courier.process import privileges
from courier.process.privileges import Ids

_LONGEST = 65_536
_SUBJECT = "TLS_SUBJECT_"


class HandshakeFailed(Exception):
    """There is no TLS; the text says why."""


@dataclass(frozen=True, slots=True)
class OuterTls:
    """What is known of it. There are no channel bindings: these couriertls doesn't tell."""

    fields: Mapping[str, str] = field(default_factory=dict)

    def subject(self) -> dict[str, str]:
        return dict(self.fields)

    def channel_binding(self, kind: str) -> bytes | None:
        return None

    def variables(self) -> dict[str, str]:
        """Give what couriertls sets on ports of its own."""
        return {f"{_SUBJECT}{name}": value for name, value in self.fields.items()}


def from_environment(environ: Mapping[str, str]) -> OuterTls:
    return OuterTls(
        {
            name.removeprefix(_SUBJECT): value
            for name, value in environ.items()
            if name.startswith(_SUBJECT)
        }
    )


def start(program: str, ids: Ids | None, source: int, sink: int, seconds: float) -> OuterTls:
    """Have couriertls encrypt a connection; then ``source`` and ``sink`` are its plain side.

    Args:
        ids: as whom it runs.

    Raises:
        HandshakeFailed: the connection is of no more use.
    """
    ours, theirs = socket.socketpair()
    status, tell_status = os.pipe()
    described, describe = os.pipe()
    command = [
        program,
        f"-statusfd={tell_status}",
        f"-printx509={describe}",
        f"-localfd={theirs.fileno()}",
        "-tcpd",
        "-server",
    ]
    _run_apart(command, ids, source, sink, (theirs.fileno(), tell_status, describe))
    theirs.close()
    os.close(tell_status)
    os.close(describe)
    give_up = time.monotonic() + seconds
    try:
        lines = _all_of(described, give_up)
        failure = _all_of(status, give_up)
    finally:
        os.close(described)
        os.close(status)
    if failure is None or lines is None or failure:
        ours.close()
        text = "no handshake in time" if failure is None else failure.partition("\n")[0]
        raise HandshakeFailed(text or "no handshake in time")
    for descriptor in (source, sink):
        os.dup2(ours.fileno(), descriptor)
    ours.close()
    return OuterTls(_subject(lines))


def _run_apart(
    command: list[str], ids: Ids | None, source: int, sink: int, kept: Sequence[int]
) -> None:
    """Run a program that is nobody's child: who becomes a session here knows nothing of it."""
    child = os.fork()
    if child != 0:
        os.waitpid(child, 0)
        return
    try:
        if os.fork() != 0:
            os._exit(0)
        for descriptor in kept:
            os.set_inheritable(descriptor, True)
        os.dup2(source, 0)
        os.dup2(sink, 1)
        if ids is not None:
            privileges.become(ids)
        os.execv(command[0], command)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(kept[1], f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(1)


def _all_of(pipe: int, give_up: float) -> str | None:
    """Read to the end; None if that doesn't come in time."""
    read = b""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while len(read) < _LONGEST:
        if not poll.poll(max(0.0, give_up - time.monotonic()) * 1000):
            return None
        data = os.read(pipe, 4096)
        if not data:
            return read.decode("utf-8", "backslashreplace")
        read += data
    return None


def _subject(lines: str) -> dict[str, str]:
    """Read the fields below `Subject:`, which is the first certificate's, the client's own."""
    found: dict[str, str] = {}
    is_subject = False
    for line in lines.splitlines():
        if is_subject and not line.startswith(" "):
            break
        if is_subject:
            name, _, value = line.strip().partition("=")
            if name and value.isprintable():
                found[name.upper()] = value
        is_subject = is_subject or line == "Subject:"
    return found
