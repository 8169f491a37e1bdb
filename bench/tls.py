"""What TLS costs: memory of an established connection and handshakes per second.

DESCRIPTION
    ``python3 -m bench.tls [--connections N] [--handshakes N] [--key ec|rsa]``

    The server's side is this process, as a login process will be: `Contexts` and a `TlsStream` for
    each connection, fed from a socket. The clients, Python's ssl, are a forked process, so their
    memory and their processor time are not counted. Memory is the proportional set size (PSS) of
    this process, after a handshake and a greeting; then again after each connection sent and
    received a large message, because buffers that once grew stay.

    Handshakes per second are counted in processor time of the server's side alone: what one core
    could do.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import resource
import socket
import ssl
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from courier.net.tls import Contexts, TlsOptions, TlsStream
from tests.courier.net.authority import authority

GREETING = b"* OK IMAP4rev1 ready\r\n"
LARGE = 1_000_000  # octets, each way


def pss() -> int:
    """Proportional set size of this process in octets."""
    gc.collect()
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no Pss in smaps_rollup")


def serve(stream: TlsStream, sock: socket.socket) -> bytes:
    """Carry octets for one receive; return what was said."""
    said = stream.feed(sock.recv(65536))
    sock.sendall(stream.pending_output())
    return said


def greet(contexts: Contexts, sock: socket.socket) -> TlsStream:
    stream = contexts.stream("127.0.0.1")
    while not stream.is_established:
        serve(stream, sock)
        if stream.failure:
            raise RuntimeError(stream.failure)
    stream.write(GREETING)
    sock.sendall(stream.pending_output())
    return stream


# --- The clients' process -----------------------------------------------------------------------


@contextlib.contextmanager
def clients(number: int, version: ssl.TLSVersion, large: bool) -> Iterator[list[socket.socket]]:
    """Fork a process that is the client on ``number`` connections, one after the other."""
    pairs = [socket.socketpair() for _ in range(number)]
    ours, theirs = [one for one, _ in pairs], [other for _, other in pairs]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for one in ours:
                one.close()
            be_clients(theirs, version, large)
            status = 0
        finally:
            os._exit(status)
    for one in theirs:
        one.close()
    try:
        yield ours
    finally:
        for one in ours:
            one.close()
        _, ended = os.waitpid(child, 0)
        if ended:
            print(f"the clients' process ended with status {ended}", file=sys.stderr)


def be_clients(sockets: Sequence[socket.socket], version: ssl.TLSVersion, large: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = version
    connections = []
    for one in sockets:
        connection = context.wrap_socket(one, server_hostname="localhost")
        if connection.recv(100) != GREETING:
            raise RuntimeError("no greeting")
        connections.append(connection)
    if large:
        for connection in connections:
            connection.sendall(bytes(LARGE))
            left = LARGE
            while left:
                left -= len(connection.recv(65536))
    for connection in connections:
        connection.recv(1)  # until the server is done with all


# --- Measurements -------------------------------------------------------------------------------


def memory(contexts: Contexts, number: int, version: ssl.TLSVersion) -> None:
    with clients(number, version, large=True) as sockets:
        before = pss()
        streams = [greet(contexts, one) for one in sockets]
        idle = pss()
        for stream, one in zip(streams, sockets, strict=True):
            receive_large(stream, one)
            for _ in range(LARGE // 50_000):
                stream.write(bytes(50_000))
                one.sendall(stream.pending_output())
        busy = pss()
    print(
        f"{streams[0].protocol}: {number} connections, {(idle - before) / number / 1000:.1f} kB "
        f"each after the greeting, {(busy - before) / number / 1000:.1f} kB each after a megabyte "
        "both ways"
    )


def handshakes(contexts: Contexts, number: int, version: ssl.TLSVersion) -> None:
    with clients(number, version, large=False) as sockets:
        begun, begun_cpu = time.perf_counter(), time.process_time()
        streams = [greet(contexts, one) for one in sockets]
        wall, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    print(
        f"{streams[0].protocol}: {number / cpu:.0f} handshakes a second of the server's processor "
        f"time, {number / wall:.0f} by the clock (client on another core)"
    )


def throughput(contexts: Contexts) -> None:
    megabytes = 100
    with clients(1, ssl.TLSVersion.TLSv1_3, large=True) as (sock,):
        stream = greet(contexts, sock)
        begun = time.process_time()
        receive_large(stream, sock)
        received = time.process_time() - begun
        stream.write(bytes(LARGE))
        sock.sendall(stream.pending_output())
        begun = time.process_time()
        for _ in range(megabytes):
            stream.write(bytes(LARGE))
            stream.pending_output()
        wrote = time.process_time() - begun
    print(
        f"{stream.protocol}: {LARGE / received / 1e6:.0f} MB/s received, "
        f"{megabytes * LARGE / wrote / 1e6:.0f} MB/s sent, of one processor"
    )


def receive_large(stream: TlsStream, sock: socket.socket) -> None:
    heard = 0
    while heard < LARGE:
        heard += len(serve(stream, sock))


def in_new_process(measure: Callable[[], None]) -> None:
    """Measure with a heap that no earlier measurement has grown."""
    child = os.fork()
    if child == 0:
        try:
            measure()
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.waitpid(child, 0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--handshakes", type=int, default=500)
    parser.add_argument("--key", choices=("ec", "rsa"), default="rsa")
    chosen = parser.parse_args(arguments)

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        key = rsa.generate_private_key(65537, 2048) if chosen.key == "rsa" else None
        file = authority().sign("localhost", key=key).combined(Path(folder) / "imapd.pem")
        contexts = Contexts.load(TlsOptions(certificate=file, alpn=("imap",)))
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        in_new_process(lambda v=version: memory(contexts, chosen.connections, v))
        in_new_process(lambda v=version: handshakes(contexts, chosen.handshakes, v))
    in_new_process(lambda: throughput(contexts))


if __name__ == "__main__":
    main()
