"""couriertls: encrypt a connection for a program that knows nothing of TLS.

DESCRIPTION
    ``couriertls [option...] [PROGRAM [argument...]]`` has a connection from whoever starts it
    (``-remotefd``, ``-tcpd``) or makes one (``-host``, ``-port``), shakes hands, as client or with
    ``-server``, and copies between it and the plain side: PROGRAM, ``-localfd``, or its own standard
    input and output.

SECURITY
    Certificates are read, and the handshake is made, as whoever started it; then it becomes ``-user``.
    The program keeps the rights of the beginning.

STANDARDS
    RFC 8446, RFC 5246; RFC 2595, RFC 3207 (``-protocol``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

from classic import tls_end, tls_options, tls_passage
from classic.starttls import Conversation, Refused
from classic.tls_end import Maker
from classic.tls_options import Options
from classic.tls_passage import Failed, Passage
from classic.words import Wrong
from courier.process import privileges

_CONNECT_S = 60.0


def main(arguments: Sequence[str]) -> int:
    try:
        options = tls_options.parse(arguments)
    except Wrong as wrong:
        print(wrong, file=sys.stderr)
        return 1
    try:
        return _serve(options, os.environ)
    except Failed as failed:
        _complain(options, str(failed))
    except Wrong as wrong:
        _complain(options, str(wrong))
    except OSError as error:
        _complain(options, f"couriertls: {error.filename or 'TLS'}: {error.strerror or error}")
    return 1


def _complain(options: Options, text: str) -> None:
    """Say what went wrong, to who waits at -statusfd, or in the log."""
    if options.status is not None:
        with contextlib.suppress(OSError):
            os.write(options.status, f"{text}\n".encode())
            os.close(options.status)
    else:
        print(f"{tls_end.who(os.environ)}{text}", file=sys.stderr)


def _serve(options: Options, environ: Mapping[str, str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    remote = _remote(options)
    maker = Maker(options, environ)
    if options.protocol is not None and not options.is_server:
        try:
            Conversation(remote).ask(options.protocol)
        except Refused as refused:
            raise Wrong(f"couriertls: {refused}") from refused
    end = maker.make(environ.get("TCPLOCALIP") or _own_ip(remote))
    said = tls_passage.shake_hands(end, remote)

    if options.print_certificate is not None:
        os.write(options.print_certificate, tls_end.description(end).encode())
        _let_go(options.print_certificate)
    if options.status is not None:
        _let_go(options.status)
    known = tls_end.variables(end, verified=maker.verifies)
    program, source, sink = _plain_side(options, {**environ, **known})
    if options.ids is not None:
        privileges.become(options.ids)

    passage = Passage(end, remote, source, sink)
    broken = passage.run(
        said,
        waits=source == 0,  # a shell's input ends before the answer is there
        has_ended=lambda: program is not None and program.poll() is not None,
    )
    if broken is not None:
        print(f"{tls_end.who(environ)}couriertls: {broken}", file=sys.stderr)
    elif passage.is_truncated:
        text = "Unexpected SSL connection shutdown."
        print(f"DEBUG: {tls_end.who(environ)}{text}", file=sys.stderr)
    return 0


def _remote(options: Options) -> socket.socket:
    if options.remote is None:
        try:
            remote = socket.create_connection((options.host, int(options.port)), _CONNECT_S)
        except socket.gaierror:
            raise Wrong(f"{options.host}: not found.") from None
        except (ValueError, OverflowError):
            raise Wrong(f"couriertls: -port: no number of a port: {options.port}") from None
        except OSError as error:
            raise Wrong(f"connect: {error.strerror or error}") from error
        return remote
    try:
        remote = socket.socket(fileno=os.dup(options.remote))
        remote.getpeername()
    except OSError as error:
        raise Wrong(f"couriertls: descriptor {options.remote}: {error.strerror}") from error
    if options.is_tcpd:
        os.dup2(2, 1)
    return remote


def _own_ip(remote: socket.socket) -> str:
    """Where the connection arrived; nothing for a socket pair."""
    if remote.family == socket.AF_UNIX:
        return ""
    return str(remote.getsockname()[0])


def _plain_side(
    options: Options, environ: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes] | None, int, int]:
    """Start the program, if there is one; give the descriptors to read from and to write to."""
    if options.local is not None:
        os.set_blocking(options.local, False)
        return None, options.local, options.local
    if not options.program:
        return None, 0, 1
    ours, theirs = socket.socketpair()
    with theirs:
        program = subprocess.Popen(
            options.program, stdin=theirs.fileno(), stdout=theirs.fileno(), env=environ
        )
    ours.setblocking(False)
    descriptor = ours.detach()
    return program, descriptor, descriptor


def _let_go(descriptor: int) -> None:
    """Close a descriptor; standard error stays for what is still to be said."""
    if descriptor > 2:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
