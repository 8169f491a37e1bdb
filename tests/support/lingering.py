"""A socket that keeps waiting whoever closes its last copy."""

from __future__ import annotations

import contextlib
import socket
import struct


def lingering() -> tuple[int, socket.socket]:
    """Give a TCP socket that waits when it is closed for a peer that reads nothing; and the peer."""
    listening = socket.create_server(("127.0.0.1", 0))
    sent = socket.create_connection(listening.getsockname())
    peer, _ = listening.accept()
    listening.close()
    sent.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sent.send(b"x" * 65_536)
    sent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1000))
    return sent.detach(), peer
