"""Call something in a process of its own, so that nothing it reads stays in this one's memory.

Master checks certificates this way: workers are copies of master, and a key that master had read
would be in each of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NoReturn

_LINES = b"0"
_FAILURE = b"1"


def lines(call: Callable[[], Sequence[str]], failure: type[Exception]) -> list[str]:
    """Give the lines that ``call`` returns.

    Raises:
        failure: with the text that ``call`` raised it with.
        OSError: there is no process to be had, or it died.
    """
    reading, writing = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(writing, call, failure)
    finally:
        os.close(writing)
    with open(reading, "rb") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    kind, text = said[:1], said[1:].decode("utf-8", "surrogateescape")
    if kind == _FAILURE:
        raise failure(text)
    if kind != _LINES:
        raise ChildProcessError("a process that checks files died")
    return text.splitlines()


def _be_child(
    writing: int, call: Callable[[], Sequence[str]], failure: type[Exception]
) -> NoReturn:
    try:
        try:
            said = _LINES + "\n".join(call()).encode("utf-8", "surrogateescape")
        except failure as error:
            said = _FAILURE + str(error).encode("utf-8", "surrogateescape")
        with open(writing, "wb") as answer:
            answer.write(said)
    finally:
        os._exit(0)
