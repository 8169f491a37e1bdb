"""courier.process.stream: a socket that a loop reads and writes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from courier.process.loop import Loop
from courier.process.stream import Stream

HIGH_WATER = 10_000


class Owner:
    """Notes what it is told; stops the loop when that is what the test waits for."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.data = b""
        self.told: list[str] = []
        self.until: Callable[[], bool] = lambda: False

    def received(self, data: bytes) -> None:
        self.data += data
        self._look()

    def ended(self) -> None:
        self._note("ended")

    def drained(self) -> None:
        self._note("drained")

    def lost(self) -> None:
        self._note("lost")

    def _note(self, what: str) -> None:
        self.told.append(what)
        self._look()

    def _look(self) -> None:
        if self.until():
            self._loop.stop()

    def run_until(self, condition: Callable[[], bool]) -> None:
        self.until = condition
        self._loop._is_over = condition()
        self._loop.run()


class Both:
    """A stream, and its other end."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.loop.later(30.0, lambda: pytest.fail("nothing happened"))
        ours, self.peer = socket.socketpair()
        ours.setblocking(False)
        self.peer.settimeout(20)
        self.owner = Owner(self.loop)
        self.stream = Stream(self.loop, self.owner, ours, HIGH_WATER)

    def turn(self) -> None:
        """Have the loop look at what is there now."""
        self.loop._is_over = False
        self.loop.later(0.0, self.loop.stop)
        self.loop.run()

    def read(self, size: int) -> int:
        """Read at the other end while the stream writes; return how much came."""
        got = 0
        self.peer.setblocking(False)
        while got < size:
            try:
                block = self.peer.recv(65536)
            except BlockingIOError:
                self.turn()
                continue
            if not block:
                break
            got += len(block)
        return got


@pytest.fixture
def both() -> Iterator[Both]:
    made = Both()
    yield made
    made.stream.abort()
    made.peer.close()
    made.loop.close()


def test_octets_and_the_end(both: Both) -> None:
    """What the other end sends comes in order, then its end, once; writing still works."""
    both.peer.sendall(b"abc")
    both.owner.run_until(lambda: both.owner.data == b"abc")
    both.peer.sendall(b"def")
    both.peer.shutdown(socket.SHUT_WR)
    both.owner.run_until(lambda: both.owner.told == ["ended"])
    both.turn()

    both.stream.write(b"answer")

    assert (both.owner.data, both.owner.told) == (b"abcdef", ["ended"])
    assert both.peer.recv(100) == b"answer"


def test_detached_socket(both: Both) -> None:
    """It is the caller's, with what was not sent; the owner is told nothing more."""
    sent = bytes(range(256)) * 4000
    both.stream.write(sent)
    both.peer.sendall(b"abc")

    unsent = both.stream.detach()

    both.turn()
    assert (both.owner.told, both.owner.data) == ([], b"")
    assert both.stream.socket.recv(100) == b"abc"
    both.stream.socket.close()
    received = b""
    while block := both.peer.recv(65_536):
        received += block
    assert received + unsent == sent
    assert unsent


@pytest.mark.parametrize("reads_to_end", [False, True])
def test_last_words_of_who_takes_no_more(both: Both, *, reads_to_end: bool) -> None:
    """They are read if the owner wants that, however it came out; the end is told as ever."""
    both.stream.reads_to_end = reads_to_end
    both.stream.write(b"never read")
    both.peer.sendall(b"goodbye")
    both.peer.close()

    both.stream.write(b"too late")
    both.stream.write(b"and more")

    both.owner.run_until(lambda: bool(both.owner.told))
    assert both.owner.data == (b"goodbye" if reads_to_end else b"")
    both.owner.run_until(lambda: "lost" in both.owner.told)
    assert both.owner.told.count("lost") == 1


def test_no_more_at_once_than_wanted(both: Both) -> None:
    """The owner says how much it takes at a time."""
    both.stream.read_at_once = 2
    both.peer.sendall(b"abcde")

    both.owner.run_until(lambda: bool(both.owner.data))

    assert both.owner.data == b"ab"


def test_paused_stream_reads_nothing(both: Both) -> None:
    """Not even that the other end has gone; all of it comes afterwards."""
    both.stream.pause()
    both.peer.sendall(b"abc")
    both.peer.close()
    both.turn()
    assert (both.owner.data, both.owner.told) == (b"", [])

    both.stream.resume()
    both.owner.run_until(lambda: bool(both.owner.told))

    assert (both.owner.data, both.owner.told) == (b"abc", ["ended"])


def test_blocked_and_drained(both: Both) -> None:
    """A peer that doesn't read blocks the stream; once it reads, that is told, and all arrives."""
    size = 0
    while not both.stream.is_blocked:
        both.stream.write(bytes(5000))
        size += 5000
    assert both.stream.unsent > HIGH_WATER

    assert both.read(size) == size

    both.turn()
    assert (both.owner.told, both.stream.unsent) == (["drained"], 0)


def test_close_waits_until_all_is_sent(both: Both) -> None:
    """The last octets are sent, then the socket is closed, and only then that is told."""
    size = 1 << 20
    both.stream.write(bytes(size))
    both.stream.close()
    both.stream.write(b"too late")
    assert both.owner.told == []

    assert both.read(size + 1) == size

    assert both.owner.told == ["lost"]
    assert both.stream.socket.fileno() == -1


def test_abort_does_not_wait(both: Both) -> None:
    """Nothing more is sent; the end is told once, whatever is called afterwards."""
    both.stream.write(bytes(1 << 20))
    both.stream.abort()
    both.stream.abort()
    both.stream.close()

    assert both.owner.told == ["lost"]


def test_write_to_a_peer_that_has_gone(both: Both) -> None:
    """The writer is not called back in the middle of its work, but soon."""
    both.peer.close()
    both.stream.write(b"x")
    both.stream.write(b"y")
    assert both.owner.told == []

    both.owner.run_until(lambda: bool(both.owner.told))

    assert both.owner.told == ["lost"]


def test_reset_while_nothing_is_read(both: Both) -> None:
    """A connection that breaks while it only writes ends, and does not keep the loop busy."""
    both.stream.pause()
    both.stream.write(bytes(1 << 20))
    both.peer.close()

    both.owner.run_until(lambda: bool(both.owner.told))

    assert both.owner.told == ["lost"]


def test_end_of_output_behind_what_waits(both: Both) -> None:
    """The other end sees the end after the last octet, and is still heard."""
    size = 1 << 20
    both.stream.write(bytes(size))
    both.stream.write_eof()

    assert both.read(size + 1) == size

    both.peer.sendall(b"heard")
    both.owner.run_until(lambda: both.owner.data == b"heard")
