"""courier.process.title: what others see of a process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from courier.process import title


def seen(call: Callable[[], None]) -> tuple[str, str, bytes]:
    """In a process of its own: its command line as ps shows it, its name, and its environment."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            call()
            own = Path("/proc/self")
            shown = (own / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b"|")
            name = (own / "comm").read_bytes().rstrip(b"\n")
            os.write(writing, b"\n".join((shown, name, (own / "environ").read_bytes()[:2000])))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as told:
        shown, name, environment = told.read().split(b"\n", 2)
    os.waitpid(pid, 0)
    return shown.decode(), name.decode(), environment


def test_title() -> None:
    """The command line is replaced as a whole, and again by the next."""
    environment = Path("/proc/self/environ").read_bytes()[:2000]

    assert seen(lambda: title.show("imapd: x")) == ("imapd: x", "imapd: x", environment)
    assert seen(lambda: [title.show("imapd: x"), title.show("i")][0])[:2] == ("i", "i")


def test_title_that_does_not_fit() -> None:
    """It is cut, and never spills into what lies behind."""
    environment = Path("/proc/self/environ").read_bytes()[:2000]

    shown, name, found = seen(lambda: title.show("imapd: " + "x" * 200_000))

    room = len(Path("/proc/self/cmdline").read_bytes())
    assert shown == ("imapd: " + "x" * room)[: room - 1]
    assert name == "imapd: xxxxxxxx"
    assert found == environment


def test_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of 15 octets is all there is then."""
    monkeypatch.setattr(title, "_find", lambda: (0, 0))
    monkeypatch.setattr(title, "_room", None)
    before = Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b"|").decode()

    assert seen(lambda: title.show("imapd: x"))[:2] == (before, "imapd: x")
