"""Listening sockets: bound from the settings ADDRESS and PORT, or inherited and held against them.

All addresses are one IPv6 socket that takes IPv4 as well, so that an IPv4 client's address reads
`::ffff:192.0.2.1`, as Courier's logs have it; where there is no IPv6, an IPv4 socket does. The
caller owns the sockets that these functions return, and closes them.
"""

import errno
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from courier.setting_reader import Port

Address = IPv4Address | IPv6Address

_IP_FREEBIND = 15  # socket.IP_FREEBIND of Linux has no name in Python
_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}


class ListenError(Exception):
    """A socket can't be bound: names setting, address and reason."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen; ``address`` None: everywhere. ``setting``: the name to complain under."""

    port: int
    address: Address | None
    setting: str

    def __str__(self) -> str:
        # In Courier's form, but for what it writes as 0.
        return f"{self.address}.{self.port}" if self.address else str(self.port)


def endpoints(
    ports: Sequence[Port], default: Address | None, setting: str = "PORT"
) -> tuple[Endpoint, ...]:
    """Complete the ports of a setting by the default address; repeated ones count once."""
    return tuple(
        dict.fromkeys(
            Endpoint(port.number, _none_if_all(port.address or default), setting) for port in ports
        )
    )


def _none_if_all(address: Address | None) -> Address | None:
    # `::` takes IPv4 too, unless the system is set otherwise: it means what 0 means.
    return None if address == IPv6Address("::") else address


# --- Binding --------------------------------------------------------------------------------------


def bind(wanted: Iterable[Endpoint], backlog: int = socket.SOMAXCONN) -> list[socket.socket]:
    """Bind and listen; either all or none.

    Raises:
        ListenError: one of them is impossible, which is said with its setting.
    """
    bound: list[socket.socket] = []
    try:
        for endpoint in wanted:
            bound.append(_bind_one(endpoint, backlog))
    except BaseException:
        for one in bound:
            one.close()
        raise
    return bound


def _bind_one(endpoint: Endpoint, backlog: int) -> socket.socket:
    try:
        if endpoint.address is None:
            return _bind_everywhere(endpoint.port, backlog)
        return _listening(endpoint.address, endpoint.port, backlog)
    except OSError as error:
        raise ListenError(
            f"{endpoint.setting}: {endpoint}: can't listen there: {error.strerror or error}"
        ) from error


def _bind_everywhere(port: int, backlog: int) -> socket.socket:
    try:
        return _listening(IPv6Address("::"), port, backlog)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
        return _listening(IPv4Address("0.0.0.0"), port, backlog)


def _listening(address: Address, port: int, backlog: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    one = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)  # an address that comes up later is fine
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind((str(address), port))
        one.listen(backlog)
    except BaseException:
        one.close()
        raise
    return one


# --- Inherited sockets ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Inherited:
    """What came of inherited sockets: all to serve, and what to tell the administrator."""

    sockets: tuple[socket.socket, ...]
    warnings: tuple[str, ...]


def complete(
    inherited: Iterable[socket.socket],
    wanted: Sequence[Endpoint],
    bound_before: Iterable[socket.socket] = (),
    backlog: int = socket.SOMAXCONN,
) -> Inherited:
    """Hold a service manager's sockets against the settings: bind what is missing, warn of the rest.

    Inherited sockets that no setting asks for are served all the same: the administrator set them
    up. Those that an earlier call bound are left out then, and the caller closes them.

    Raises:
        ListenError: a missing one can't be bound. The inherited ones stay open.
    """
    warnings: list[str] = []
    served = []
    for one in inherited:
        if _is_listening(one):
            one.setblocking(False)
            one.set_inheritable(False)
            served.append(one)
        else:
            warnings.append(f"inherited descriptor {one.fileno()}: not a listening TCP socket")

    names = ", ".join(dict.fromkeys(one.setting for one in wanted))
    warnings += [
        f"{names}: the service manager's socket {name(one)} is in no setting; it is served"
        for one in served
        if not any(_overlaps(one, endpoint) for endpoint in wanted)
    ]
    is_managed = bool(served)
    whose = "the service manager's" if is_managed else "until a restart the former"
    served += [one for one in bound_before if any(_overlaps(one, endpoint) for endpoint in wanted)]

    missing = []
    for endpoint in wanted:
        exact = [one for one in served if _serves(one, endpoint)]
        near = [one for one in served if _overlaps(one, endpoint)]
        if exact and _is_whole(exact, endpoint):
            continue
        if near:
            warnings.append(
                f"{endpoint.setting}: {endpoint}: {whose} socket listens on "
                f"{', '.join(map(name, near))} instead"
            )
        else:
            missing.append(endpoint)
    bound = bind(missing, backlog)
    warnings += [
        f"{one.setting}: {one}: not among the service manager's sockets; listening there too"
        for one in missing
        if is_managed
    ]
    return Inherited((*served, *bound), tuple(warnings))


def still_wanted(
    sockets: Iterable[socket.socket], wanted: Sequence[Endpoint]
) -> list[socket.socket]:
    """Those of a daemon's own sockets that endpoints ask for, or that are in the way of theirs."""
    return [one for one in sockets if any(_overlaps(one, endpoint) for endpoint in wanted)]


def _is_listening(one: socket.socket) -> bool:
    try:
        return (
            one.family in (socket.AF_INET, socket.AF_INET6)
            and one.type == socket.SOCK_STREAM
            and bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        )
    except OSError:
        return False


def _serves(one: socket.socket, endpoint: Endpoint) -> bool:
    """Whether a socket is one that the endpoint would be bound to, or half of all addresses."""
    address, port = _bound_to(one)
    if port != endpoint.port:
        return False
    return address.is_unspecified if endpoint.address is None else address == endpoint.address


def _is_whole(sockets: Sequence[socket.socket], endpoint: Endpoint) -> bool:
    """Whether sockets that serve everywhere do so for IPv4 and IPv6."""
    if endpoint.address is not None:
        return True
    versions = {_bound_to(one)[0].version for one in sockets}
    return versions == {4, 6} or any(_takes_ipv4_too(one) for one in sockets)


def _overlaps(one: socket.socket, endpoint: Endpoint) -> bool:
    """Whether binding the endpoint beside this socket would fail."""
    address, port = _bound_to(one)
    if port != endpoint.port:
        return False
    if endpoint.address is None:
        return True
    return address == endpoint.address or (
        address.is_unspecified
        and (address.version == endpoint.address.version or _takes_ipv4_too(one))
    )


def _takes_ipv4_too(one: socket.socket) -> bool:
    return one.family == socket.AF_INET6 and not one.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    )


def _bound_to(one: socket.socket) -> tuple[Address, int]:
    host, port = one.getsockname()[:2]
    return ip_address(host.partition("%")[0]), port


# --- Names of addresses -----------------------------------------------------------------------


def name(one: socket.socket) -> str:
    """Return where a socket listens, in Courier's form."""
    address, port = _bound_to(one)
    return f"{address}.{port}"


def ip_text(host: str) -> str:
    """Return an address as Courier logs it: IPv4 as `::ffff:192.0.2.1`, no zone."""
    host = host.partition("%")[0]
    return host if ":" in host else f"::ffff:{host}"
