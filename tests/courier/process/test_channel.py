"""courier.process.channel: messages with descriptors, and what a hostile end can send."""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.process import channel
from courier.process.channel import MAX_MESSAGE, ChannelClosed
from tests.support.exhaustion import exhausted_here
from tests.support.lingering import lingering
from tests.support.open_files import open_before, open_now

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Pair]:
    pair = channel.pair()
    yield pair
    for end in pair:
        end.close()


def test_room(ends: Pair) -> None:
    """There is none once the other end has left half of what it may unread; until it reads."""
    assert channel.has_room(ends[0])
    sent = 0
    while channel.has_room(ends[0]):
        channel.send(ends[0], [b"x" * 10_000])
        sent += 1
    assert sent > 10
    channel.send(ends[0], [b"x" * 10_000])  # there is more in fact

    for _ in range(sent + 1):
        assert channel.receive(ends[1]) is not None

    assert channel.has_room(ends[0])


def test_last_words_of_who_has_not_read_all(ends: Pair) -> None:
    """The system tells of that first; they are received all the same, then the end."""
    channel.send(ends[1], [b"one"])
    channel.send(ends[1], [b"two"], 0)
    channel.send(ends[0], [b"never read"])
    ends[1].close()

    assert channel.receive(ends[0]) == ([b"one"], None)
    received = channel.receive(ends[0])
    assert received is not None and received[0] == [b"two"] and received[1] is not None
    os.close(received[1])
    with pytest.raises(ChannelClosed, match=r"^closed$"):
        channel.receive(ends[0])


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=32))
def test_unpack_reads_what_pack_wrote(fields: list[bytes]) -> None:
    """Every list of fields survives, empty ones too."""
    assert channel.unpack(channel.pack(fields)) == fields


@given(st.binary(max_size=200))
def test_unpack_of_anything(data: bytes) -> None:
    """Octets are a message or malformed; nothing else happens."""
    try:
        fields = channel.unpack(data)
    except ChannelClosed:
        return
    assert channel.pack(fields) == data


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"\0\0\0",
        struct.pack("!I", 1),
        struct.pack("!I", 0xFFFFFFFF) + b"x",
        struct.pack("!I", 3) + b"abc" + b"\0",
        struct.pack("!I", 0) * 33,
    ],
)
def test_unpack_of_what_is_no_message(data: bytes) -> None:
    """Lengths beyond the end and too many fields are refused."""
    with pytest.raises(ChannelClosed, match="malformed"):
        channel.unpack(data)


def test_messages_keep_apart_and_in_order(ends: Pair) -> None:
    """Each message is received by itself."""
    channel.send(ends[0], [b"one", b""])
    channel.send(ends[0], [b"two"])

    assert channel.receive(ends[1]) == ([b"one", b""], None)
    assert channel.receive(ends[1]) == ([b"two"], None)
    assert channel.receive(ends[1]) is None


def test_largest_message(ends: Pair) -> None:
    """A message may have MAX_MESSAGE octets and no more."""
    channel.send(ends[0], [b"x" * (MAX_MESSAGE - 4)])

    assert channel.receive(ends[1]) == ([b"x" * (MAX_MESSAGE - 4)], None)
    with pytest.raises(ValueError, match="too long"):
        channel.send(ends[0], [b"x" * (MAX_MESSAGE - 3)])


def test_descriptor_travels(ends: Pair) -> None:
    """The other end gets a copy of its own, which isn't inherited by what it runs."""
    reading, writing = os.pipe()
    channel.send(ends[0], [b"x"], writing)
    os.close(writing)

    received = channel.receive(ends[1])

    assert received is not None and received[1] is not None
    assert not os.get_inheritable(received[1])
    os.write(received[1], b"hello")
    os.close(received[1])
    assert os.read(reading, 10) == b"hello"
    assert os.read(reading, 10) == b""
    os.close(reading)


@pytest.mark.parametrize("count", [2, 3, 50])
def test_more_descriptors_than_one(ends: Pair, count: int) -> None:
    """They are refused, and none stays open."""
    before = open_before()
    rights = array.array("i", [0] * count).tobytes()
    ends[0].sendmsg([channel.pack([b"x"])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    with pytest.raises(ChannelClosed, match="malformed"):
        channel.receive(ends[1])

    assert open_now() == before


def test_descriptor_without_room(ends: Pair) -> None:
    """The message arrives, and says what is missing; the one behind it is whole."""
    sender, receiver = ends
    with open(os.devnull) as file:
        channel.send(sender, [b"first"], file.fileno())
        channel.send(sender, [b"second"], file.fileno())
        with exhausted_here():
            assert channel.receive(receiver) == ([b"first"], channel.LOST)

    received = channel.receive(receiver)
    assert received is not None and received[0] == [b"second"]
    assert received[1] not in (None, channel.LOST)
    os.close(received[1])


def test_descriptor_with_what_is_no_message(ends: Pair) -> None:
    """The descriptor is closed."""
    before = open_before()
    rights = array.array("i", [0]).tobytes()
    ends[0].sendmsg([b"\0\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    with pytest.raises(ChannelClosed, match="malformed"):
        channel.receive(ends[1])

    assert open_now() == before


def test_oversized_message(ends: Pair) -> None:
    """A message that was cut by the kernel is refused."""
    ends[0].send(b"x" * (MAX_MESSAGE + 1))

    with pytest.raises(ChannelClosed, match="malformed"):
        channel.receive(ends[1])


@pytest.mark.parametrize("is_gone", [True, False])
def test_descriptors_that_nobody_has_received(ends: Pair, is_gone: bool) -> None:
    """They are closed with the channel, whose end is no message among them, and no peer is waited for."""
    lines = [lingering() for _ in range(3)]
    for message in (channel.pack([b"x"]), b"", b"\0"):
        rights = struct.pack("3i", *(sent for sent, _ in lines))
        ends[0].sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        ends[0].send(b"")
    for sent, _ in lines:
        os.close(sent)
    if is_gone:
        ends[0].close()

    channel.close(ends[1])

    assert ends[1].fileno() == -1
    for _, peer in lines:
        with contextlib.suppress(ConnectionResetError):
            while peer.recv(1 << 20):  # to the end
                pass
        peer.close()


def test_descriptors_with_octets() -> None:
    """Of a stream they are closed, too, without waiting for a peer, however many come."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    lines = [lingering() for _ in range(3)]
    rights = struct.pack("3i", *(sent for sent, _ in lines))
    for _ in range(2):
        theirs.sendmsg([b"abc"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    for sent, _ in lines:
        os.close(sent)

    assert channel.octets(ours, 2) == b"ab"
    channel.close_stream(ours)

    theirs.close()
    for _, peer in lines:
        with contextlib.suppress(ConnectionResetError):
            while peer.recv(1 << 20):  # to the end
                pass
        peer.close()


def test_end_that_is_gone(ends: Pair) -> None:
    """Receiving and sending say that the other end is gone, and raise no signal."""
    ends[0].close()

    with pytest.raises(ChannelClosed, match="closed"):
        channel.receive(ends[1])
    with pytest.raises(ChannelClosed):
        channel.send(ends[1], [b"x"])


def test_message_sent_before_the_end_went(ends: Pair) -> None:
    """What was said last is still heard."""
    channel.send(ends[0], [b"last"])
    ends[0].close()

    assert channel.receive(ends[1]) == ([b"last"], None)
    with pytest.raises(ChannelClosed, match="closed"):
        channel.receive(ends[1])


def test_end_that_does_not_read(ends: Pair) -> None:
    """Sending never waits: it says so, and has sent nothing of the message."""
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            channel.send(ends[0], [b"%d" % sent])
            sent += 1

    assert sent >= 100
    for number in range(sent):
        assert channel.receive(ends[1]) == ([b"%d" % number], None)
    assert channel.receive(ends[1]) is None
