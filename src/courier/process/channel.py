"""Channels between our own processes: bounded messages of a few fields, with descriptors.

A channel is a pair of SOCK_SEQPACKET sockets, so that the kernel keeps messages apart. A message
is a list of octet strings, each behind its length; a descriptor may travel with it. What comes from
a less trusted process is checked for form here and for meaning by whoever receives it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Sequence

#: Octets of a message. More than the log-in's unread input and its credentials together.
MAX_MESSAGE = 196_608
_MAX_FIELDS = 32
_LENGTH = struct.Struct("!I")
_MAX_DESCRIPTORS = 253  # Linux lets nobody send more. One is wanted; see `discard`
_INT = struct.Struct("i")
_ANCILLARY = socket.CMSG_SPACE(_MAX_DESCRIPTORS * _INT.size) + socket.CMSG_SPACE(3 * _INT.size)
_AT_ONCE = struct.pack("ii", 0, 0)
_SO_PASSRIGHTS = 83  # Linux 6.16
#: In place of a descriptor: one came, and this process could not have one more (EMFILE).
LOST = -1
#: Where messages arrive, one at a time: room for the largest, made anew for each, would cost more
#: than all else that is done with it.
_arriving = memoryview(bytearray(MAX_MESSAGE))


class ChannelClosed(Exception):
    """The other process is gone, or sent what is no message."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Make a channel; both ends are non-blocking and close on exec."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, 4 * MAX_MESSAGE)
    return ends


def refuse_descriptors(end: socket.socket) -> None:
    """Let nobody send a descriptor to this end, where the system knows how.

    Where it does not, one that comes is closed, which waits if it is of a file system that its user
    runs (FUSE) and that does not answer.
    """
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)


def pack(fields: Sequence[bytes]) -> bytes:
    """Write a message."""
    return b"".join(_LENGTH.pack(len(field)) + field for field in fields)


def unpack(data: bytes) -> list[bytes]:
    """Read a message.

    Raises:
        ChannelClosed: it is none.
    """
    fields: list[bytes] = []
    at = 0
    while at < len(data):
        if at + _LENGTH.size > len(data) or len(fields) >= _MAX_FIELDS:
            raise ChannelClosed("malformed message")
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + size > len(data):
            raise ChannelClosed("malformed message")
        fields.append(data[at : at + size])
        at += size
    return fields


def send(channel: socket.socket, fields: Sequence[bytes], descriptor: int | None = None) -> None:
    """Send a message, and a copy of ``descriptor`` with it.

    Raises:
        BlockingIOError: the other end does not keep up; nothing was sent.
        ChannelClosed: it is gone.
    """
    data = pack(fields)
    if len(data) > MAX_MESSAGE:
        raise ValueError("message too long")
    ancillary = []
    if descriptor is not None:
        rights = _INT.pack(descriptor)
        ancillary.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, rights))
    try:
        channel.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
    except BlockingIOError:
        raise
    except OSError as error:
        raise ChannelClosed(str(error)) from error


def has_room(channel: socket.socket) -> bool:
    """Tell whether the other end keeps up: half of what may be on its way is not (SIOCOUTQ)."""
    (waiting,) = _INT.unpack(fcntl.ioctl(channel.fileno(), termios.TIOCOUTQ, _INT.pack(0)))
    return bool(waiting <= channel.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2)


def receive(channel: socket.socket) -> tuple[list[bytes], int | None] | None:
    """Receive a message and the descriptor that came with it, which the caller closes.

    Returns: None if there is no message now. The descriptor is `LOST` if there was no room for it;
    the message counts all the same, and its sender is not to blame.

    Raises:
        ChannelClosed: the other process is gone, or what it sent is no message.
    """
    try:
        try:
            size, ancillary, flags, _ = _receive(channel)
        except ConnectionResetError:  # it has gone and not read all; what it said is still there
            size, ancillary, flags, _ = _receive(channel)
    except BlockingIOError:
        return None
    except OSError as error:
        raise ChannelClosed(str(error)) from error
    descriptors = _descriptors(ancillary)
    is_lost = bool(flags & socket.MSG_CTRUNC) and not descriptors
    is_cut = flags & socket.MSG_TRUNC or (flags & socket.MSG_CTRUNC and not is_lost)
    try:
        if not size or is_cut or len(descriptors) > 1:
            raise ChannelClosed("closed" if not size else "malformed message")
        fields = unpack(bytes(_arriving[:size]))
    except ChannelClosed:
        for descriptor in descriptors:
            discard(descriptor)
        raise
    if is_lost:
        return fields, LOST
    return fields, descriptors[0] if descriptors else None


def discard(descriptor: int) -> None:
    """Close what another process has sent, whatever it is, without waiting for its peer.

    Who is the last to close a TCP socket waits for that, for as long as whoever sent the socket has
    wanted (SO_LINGER), though it is non-blocking. The system would, too, with one that was sent and
    not received.
    """
    try:
        sent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor)  # or another kind
    except OSError:  # it is none
        os.close(descriptor)
        return
    with sent, contextlib.suppress(OSError):
        sent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)


def octets(connected: socket.socket, size: int) -> bytes:
    """Receive at most so many octets of a stream, and close the descriptors that come with them.

    Raises OSError.
    """
    data, ancillary, _, _ = connected.recvmsg(size, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
    for descriptor in _descriptors(ancillary):
        discard(descriptor)
    return data


def close_stream(connected: socket.socket) -> None:
    """Close a stream, which does not block, and all that came and was not received. No more can come."""
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RD)
        while octets(connected, 16_384):
            pass
    connected.close()


def close(end: socket.socket) -> None:
    """Close our end of a channel, and all that came and was not received. No more can come."""
    with contextlib.suppress(OSError):  # BlockingIOError: there was no end, and nothing is left
        end.shutdown(socket.SHUT_RD)
        end.setsockopt(
            socket.SOL_SOCKET, socket.SO_PASSCRED, 1
        )  # which tells messages from the end
        while True:
            try:
                _, ancillary, _, _ = _receive(end)
            except ConnectionResetError:
                continue
            if not ancillary:
                break
            for descriptor in _descriptors(ancillary):
                discard(descriptor)
    end.close()


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    descriptors: list[int] = []
    for level, kind, rights in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = len(rights) - len(rights) % _INT.size
            descriptors += (number for (number,) in _INT.iter_unpack(rights[:whole]))
    return descriptors


def _receive(channel: socket.socket) -> tuple[int, list[tuple[int, int, bytes]], int, object]:
    return channel.recvmsg_into((_arriving,), _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
