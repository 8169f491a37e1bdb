"""What a connection's own process does, from the fork on: names, DNS lists, then the program."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import NoReturn

from classic import dns_list
from classic.dns_list import SystemResolver
from classic.tcpd_options import Options
from courier.log import Peer

_SOFT_ERROR = "softdnserr"
#: Signals that Python ignores, or whose handlers were the parent's.
_RESET = (
    *(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
    signal.SIGCHLD,
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection that may be served."""

    client: socket.socket
    remote: Peer
    local: Peer
    variables: dict[str, str]  # the access file's
    is_proxied: bool


def become_program(options: Options, arrival: Arrival) -> NoReturn:
    """Be the program for one connection; never returns."""
    try:
        signal.set_wakeup_fd(-1)
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        environment = _environment(options, arrival)
        if options.dns_lists:
            dns_list.look_up(options.dns_lists, arrival.remote.ip, environment, SystemResolver())
        if options.drop is not None and environment.get(options.drop):
            _say(f"WARN: dropped blocked connection from {arrival.remote.ip}")
            if options.deny_message:
                arrival.client.sendall(f"{options.deny_message}\n".encode())
            os._exit(0)
        _descriptors(options, arrival.client)
        os.execve(options.program[0], options.program, environment)
    except OSError as error:
        _say(f"{error.filename or options.program[0]}: {error.strerror}")
    except BaseException as error:
        _say(f"ERR: {error!r}")
    finally:
        os._exit(1)


def _descriptors(options: Options, client: socket.socket) -> None:
    client.setblocking(True)
    for descriptor in (0, 1):
        os.dup2(client.fileno(), descriptor)
    if options.stderr == "socket":
        os.dup2(client.fileno(), 2)
    elif options.stderr is not None:
        log = os.open(options.stderr, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o660)
        os.dup2(log, 2)


def _environment(options: Options, arrival: Arrival) -> MutableMapping[str, str]:
    environment = {**os.environ, **arrival.variables}
    for end, peer in (("REMOTE", arrival.remote), ("LOCAL", arrival.local)):
        environment[f"TCP{end}IP"] = peer.ip
        environment[f"TCP{end}PORT"] = str(peer.port)
        environment.pop(f"TCP{end}HOST", None)
        if options.dns_lookup and (name := host_name(peer.ip)):
            environment[f"TCP{end}HOST"] = name
    environment.pop("TCPREMOTEINFO", None)
    if arrival.is_proxied:
        environment["TCPREMOTEINFO"] = f"proxy via {arrival.local.ip}, port {arrival.local.port}"
    return environment


def host_name(ip: str) -> str | None:
    """Give the name of an address, if it has one that leads back to it.

    Returns: `softdnserr` if nobody can tell now.
    """
    address = ip_address(ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    try:
        name, _ = socket.getnameinfo((str(address), 0), socket.NI_NAMEREQD)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    except socket.gaierror as error:
        return _SOFT_ERROR if error.errno == socket.EAI_AGAIN else None
    except (OSError, UnicodeError):
        return None
    leads_back = any(ip_address(str(one[4][0]).partition("%")[0]) == address for one in found)
    return name if leads_back else None


def _say(line: str) -> None:
    """Write a line for whoever reads couriertcpd's standard error, courierlogger as a rule."""
    text = "".join(c if c.isprintable() else "?" for c in line)
    os.write(2, f"{text}\n".encode("utf-8", "backslashreplace"))
    sys.stderr.flush()
