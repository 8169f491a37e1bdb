"""-pid: a program that goes on in the background, once, and is found again by its pid file.

The pid file and its lock are courierlogger's (`courier.process.service`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from courier.process import service
from courier.process.service import AlreadyRunning, Answer, PidFile

#: Descriptors of the caller's that a daemon doesn't keep.
_FIRST, _LAST = 3, 256


def start(path: Path, serve: Callable[[Callable[[], None]], int]) -> int:
    """Run ``serve`` as the daemon of a pid file; return once it has called what it is given.

    Returns: the exit code for the caller: 0 also if such a daemon is running already.
    """
    os.closerange(_FIRST, _LAST)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        answer = Answer(tell)
        code = 1
        try:
            code = _serve(path, serve, lambda: answer.give(0))
        finally:
            sys.stderr.flush()
            answer.give(code)
            os._exit(code)
    os.close(tell)
    os.waitpid(child, 0)
    return service.answered(told)


def _serve(
    path: Path, serve: Callable[[Callable[[], None]], int], ready: Callable[[], None]
) -> int:
    silence(0, 1)
    try:
        PidFile(path).take()
    except AlreadyRunning:
        return 0
    except OSError as error:
        print(f"{error.filename or path}: {error.strerror}", file=sys.stderr)
        return 1
    return serve(ready)


def silence(*descriptors: int) -> None:
    """Let go of a caller's standard input, output or error."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


def control(verb: str, path: Path) -> int:
    """Stop or restart the daemon of a pid file. It is no failure if there is none."""
    if not path.parent.is_dir():
        print(f"{path}.lock: No such file or directory", file=sys.stderr)
        return 1
    try:
        (service.stop if verb == "stop" else service.restart)(PidFile(path))
    except OSError as error:
        print(f"{error.filename or path}: {error.strerror}", file=sys.stderr)
        return 1
    return 0
