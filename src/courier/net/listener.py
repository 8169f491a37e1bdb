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


# --- Binding --------------------------------------------------------------------------------------


def bind(
    wanted: Iterable[Endpoint],
    beside: Sequence[socket.socket] = (),
    backlog: int = socket.SOMAXCONN,
) -> list[socket.socket]:
    """Bind and listen; either all or none.

    ``beside``: sockets of ours on the same ports, at wider or narrower addresses, that are not in
    the way: the caller is about to close them, and until then no client is refused.

    Raises:
        ListenError: one of them is impossible, which is said with its setting.
    """
    bound: list[socket.socket] = []
    try:
        for one in beside:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for endpoint in wanted:
            bound.append(_bind_one(endpoint, backlog, shared=bool(beside)))
    except BaseException:
        for one in bound:
            one.close()
        raise
    finally:
        for one in (*beside, *bound):
            if one.fileno() >= 0:  # nobody else may join them
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    return bound


def _bind_one(endpoint: Endpoint, backlog: int, *, shared: bool) -> socket.socket:
    try:
        if endpoint.address is None:
            return _bind_everywhere(endpoint.port, backlog, shared=shared)
        return _listening(endpoint.address, endpoint.port, backlog, shared=shared)
    except OSError as error:
        raise ListenError(
            f"{endpoint.setting}: {endpoint}: can't listen there: {error.strerror or error}"
        ) from error


def _bind_everywhere(port: int, backlog: int, *, shared: bool) -> socket.socket:
    try:
        return _listening(IPv6Address("::"), port, backlog, shared=shared)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
        return _listening(IPv4Address("0.0.0.0"), port, backlog, shared=shared)


def _listening(address: Address, port: int, backlog: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    one = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
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
) -> Inherited:
    """Hold a service manager's sockets against the settings: bind what is missing, warn of the rest.

    Inherited sockets that no setting asks for are served all the same: the administrator set them
    up. Of those that an earlier call bound (``bound_before``) the ones that are still asked for
    are kept; the caller closes the others, in whose place new ones listen by then.

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
    missing, ours = [], list(bound_before)
    kept: list[socket.socket] = []
    for endpoint in wanted:
        exact = [one for one in served if _serves(one, endpoint)]
        near = [one for one in served if _overlaps(one, endpoint)]
        same = [one for one in ours if _serves(one, endpoint)]
        if exact and _is_whole(exact, endpoint):
            continue
        if near:
            warnings.append(
                f"{endpoint.setting}: {endpoint}: the service manager's socket listens on "
                f"{', '.join(map(name, near))} instead"
            )
        elif same:
            kept += same
        else:
            missing.append(endpoint)
    bound = bind(missing, [one for one in ours if any(_overlaps(one, new) for new in missing)])
    warnings += [
        f"{one.setting}: {one}: not among the service manager's sockets; listening there too"
        for one in missing
        if served
    ]
    return Inherited((*served, *kept, *bound), tuple(warnings))


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
