"""couriertcpd: accept connections, and run a program for each.

DESCRIPTION
    ``couriertcpd [option...] LIST PROGRAM [argument...]`` listens on the ports of LIST. One process
    accepts, asks the access file, and counts; a connection that may stay gets a process of its own,
    which looks up names and lists in the DNS and then becomes the program, with the connection as its
    standard input and output.

SECURITY
    Runs as whoever started it, or as ``-user`` and ``-group`` once it listens. Of what clients send
    it reads a proxy's header (``-haproxy``), nothing else.

FILES
    The access file's database, and ``-pid``'s file with its lock.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from classic import background, tcpd_child, tcpd_options
from classic.dns_list import SystemResolver
from classic.tcpd_child import Arrival
from classic.tcpd_options import Options
from classic.words import Wrong
from courier import log
from courier.log import Peer
from courier.net import listener
from courier.net.access import AccessFile, Allowed, Denied
from courier.net.limits import Limits, Refused
from courier.net.listener import ListenError
from courier.net.proxy_protocol import Header, ProxyError
from courier.net.refusals import Refusals
from courier.process import arrival, privileges
from courier.process.arrival import HeaderReader
from courier.process.loop import Loop

#: Seconds to wait when there is no descriptor, memory or process left.
_REST_S = 0.5


def main(arguments: Sequence[str]) -> int:
    try:
        options = tcpd_options.parse(arguments)
        if options.dns_lists:
            SystemResolver()
    except Wrong as wrong:
        print(wrong, file=sys.stderr)
        return 1
    except ImportError:
        print("couriertcpd: -allow and -block need python3-dnspython", file=sys.stderr)
        return 1
    if options.verb is not None:
        assert options.pid_file is not None
        return background.control(options.verb, options.pid_file)
    if options.access_local and options.access is None:
        print("-accesslocal requires -access", file=sys.stderr)
    if options.pid_file is not None:
        return background.start(options.pid_file, partial(_serve_in_background, options))
    return serve(options, lambda: None)


def _serve_in_background(options: Options, ready: Callable[[], None]) -> int:
    def listening() -> None:
        if options.logger is None:
            background.silence(2)
        ready()

    return serve(options, listening)


def serve(options: Options, ready: Callable[[], None]) -> int:
    """Listen, call ``ready``, and serve until a signal ends that."""
    try:
        listening = listener.bind(options.endpoints, backlog=options.backlog or socket.SOMAXCONN)
        with contextlib.suppress(PermissionError):  # the leader of a session, which will do
            os.setpgid(0, 0)
        access = AccessFile(options.access, log.line)
        access.refresh()
        if options.logger is not None:
            _start_logger(options)
        if options.ids is not None:
            privileges.become(options.ids)
    except ListenError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"couriertcpd: {error.filename or ''}: {error.strerror}", file=sys.stderr)
        return 1
    _Server(options, listening, access).run(ready)
    return 0


def _start_logger(options: Options) -> None:
    """Run -stderrlogger, and give it this process's standard error, which children inherit."""
    assert options.logger is not None
    read, write = os.pipe()
    subprocess.Popen([options.logger, options.logger_name], stdin=read)
    os.close(read)
    os.dup2(write, 2)
    os.close(write)


class _Server:
    def __init__(
        self, options: Options, listening: Sequence[socket.socket], access: AccessFile
    ) -> None:
        self._options = options
        self._listening = listening
        self._access = access
        self._loop = Loop()
        self._limits = Limits(
            options.max_processes, options.max_per_ip, options.max_per_c, warn_at=options.warn_at
        )
        self._refusals = Refusals(self._limits, log.line)
        self._arriving: dict[int, HeaderReader] = {}  # their PROXY header is read
        self._numbers = itertools.count()
        self._accepts = False

    def run(self, ready: Callable[[], None]) -> None:
        self._loop.on_signal(signal.SIGCHLD, self._reap)
        self._loop.on_signal(signal.SIGHUP, self._access.refresh)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.on_signal(number, self._stop)
        self._look_for_room()
        self._look_at_clock()
        ready()
        self._loop.run()

    def _look_at_clock(self) -> None:
        self._refusals.look_at_clock()
        self._loop.later(60.0, self._look_at_clock)

    def _stop(self) -> None:
        """End, and with this process all that it has started, and all that these have."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(0, signal.SIGTERM)
        self._loop.stop()

    def _reap(self) -> None:
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self._limits.release_all(pid)
        self._look_for_room()

    def _look_for_room(self) -> None:
        """Accept if there is a slot; clients wait in the kernel's queue where there is none."""
        taken = len(self._limits) + len(self._arriving)
        wants = taken < self._options.max_processes
        if wants == self._accepts:
            return
        self._accepts = wants
        for one in self._listening:
            if wants:
                self._loop.watch(one.fileno(), select.EPOLLIN, partial(self._accept, one))
            else:
                self._loop.unwatch(one.fileno())

    def _accept(self, one: socket.socket, events: int) -> None:
        if not self._accepts:
            return
        try:
            client, address = one.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            log.error("cannot accept", one.getsockname(), error)
            self._rest()
            return
        try:
            self._arrive(client, address)
        except OSError:  # it has gone
            client.close()
        self._look_for_room()

    def _rest(self) -> None:
        for one in self._listening:
            self._loop.unwatch(one.fileno())
        self._accepts = True  # whatever happens meanwhile

        def again() -> None:
            self._accepts = False
            self._look_for_room()

        self._loop.later(_REST_S, again)

    def _arrive(self, client: socket.socket, address: Sequence[Any]) -> None:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        host, port = client.getsockname()[:2]
        remote = Peer(listener.ip_text(str(address[0])), str(address[1]))
        local = Peer(listener.ip_text(host), str(port))
        timeout_s = arrival.header_timeout_s(self._options.proxied, host, port)
        if timeout_s is None:
            self._admit(client, remote, local, local)
            return
        number = next(self._numbers)

        def done(outcome: Header | ProxyError) -> None:
            del self._arriving[number]
            if isinstance(outcome, ProxyError):
                log.not_proxied(remote, str(outcome))
                client.close()
            elif outcome.source is None or outcome.destination is None:
                self._admit(client, remote, local, local)  # the proxy speaks for itself
            else:
                said = [
                    Peer(side.ip, str(side.port)) for side in (outcome.source, outcome.destination)
                ]
                self._admit(client, said[0], said[1], local, is_proxied=True)
            self._look_for_room()

        self._arriving[number] = HeaderReader(self._loop, client, timeout_s, done)

    def _admit(
        self,
        client: socket.socket,
        remote: Peer,
        local: Peer,
        here: Peer,
        *,
        is_proxied: bool = False,
    ) -> None:
        """Run the program if access file and limits have nothing against it.

        Args:
            here: where the connection arrived, whatever a proxy says.
        """
        with client:
            variables: dict[str, str] = {}
            if self._options.access_local:
                found = self._access.local(here.ip, int(here.port))
                if isinstance(found, Denied):
                    return
                variables |= found.environment
            allowed = self._access.remote(remote.ip)
            if isinstance(allowed, Denied):
                self._deny(client)
                return
            variables |= allowed.environment
            admitted = self._limits.admit(remote.ip, None, Allowed(variables).max_per_ip)
            if isinstance(admitted, Refused):
                self._refusals.above(admitted)
                return
            known = Arrival(client, remote, local, variables, is_proxied)
            try:
                pid = os.fork()
            except OSError as error:
                self._limits.release(admitted)
                log.error("fork", self._options.program[0], error)
                self._rest()
                return
            if pid == 0:
                tcpd_child.become_program(self._options, known)
            self._limits.hand_over(admitted, pid)
        if (line := self._limits.notice(time.monotonic())) is not None:
            log.line(line)

    def _deny(self, client: socket.socket) -> None:
        if self._options.deny_message:
            with contextlib.suppress(OSError):
                client.send(f"{self._options.deny_message}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
