"""authdaemond.master: what a dispatcher that is not ours any more can do to it."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from authdaemond.backends.backend import Backend
from authdaemond.master import Generation, Master
from authdaemond.message import Order, order
from authdaemond.settings import Settings
from courier.process import channel
from tests.support.lingering import lingering
from tests.support.open_files import open_before, open_now


class Stage:
    """A master, and a dispatcher that the test plays; all workers that there may be are there."""

    def __init__(self, path: Path) -> None:
        self.others = socket.socketpair()
        self.ours, self.dispatcher = channel.pair()
        self.process = subprocess.Popen(["sleep", "1000"])
        self.master = Master(path, b"", *self.others, None, None)
        self.generation = Generation(
            Settings(daemons=1),
            {"authx": Backend},
            pid=self.process.pid,
            control=self.ours,
            workers_of={"authx": {1, 2}},
        )
        self.master._selector.register(self.ours, selectors.EVENT_READ)

    def say(self, kind: Order, descriptor: int | None = None) -> None:
        channel.send(self.dispatcher, order(kind, 0), descriptor)
        self.master._on_order(self.generation, self.ours)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.master._selector.close()
        for one in (*self.others, self.ours, self.dispatcher):
            one.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def test_dispatcher_that_does_not_listen(stage: Stage) -> None:
    """It is heard no more, and ended; master goes on."""
    for _ in range(10_000):
        stage.say(Order.START)
        if stage.generation.control is None:
            break

    assert stage.ours.fileno() < 0
    assert stage.process.wait(20) == -signal.SIGKILL


@pytest.mark.parametrize("said", [None, b"", b"\0", channel.pack([b"nonsense"])], ids=repr)
def test_dispatcher_that_talks_no_more(stage: Stage, said: bytes | None) -> None:
    """It is ended, so that another one can take its place: its end is closed, or what it says wrong."""
    if said is None:
        stage.dispatcher.close()
    else:
        stage.dispatcher.send(said)

    stage.master._on_order(stage.generation, stage.ours)

    assert stage.ours.fileno() < 0
    assert stage.process.wait(20) == -signal.SIGKILL


def test_descriptor_that_waits_for_its_peer(stage: Stage) -> None:
    """Master closes it, and does not wait."""
    before = open_before()
    sent, peer = lingering()
    channel.send(stage.dispatcher, order(Order.ALIVE, 0), sent)
    os.close(sent)
    hearing = threading.Thread(
        target=stage.master._on_order, args=(stage.generation, stage.ours), daemon=True
    )

    hearing.start()
    hearing.join(20.0)

    assert not hearing.is_alive()
    peer.close()
    assert open_now() == before
