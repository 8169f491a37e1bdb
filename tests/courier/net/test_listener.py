"""Listening sockets on loopback: bound, inherited, in each other's way."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from courier.net import listener
from courier.net.listener import Endpoint, ListenError, bind, complete
from tests.support.daemon import free_port


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def keep(closing: ExitStack, sockets: list[socket.socket]) -> list[socket.socket]:
    for one in sockets:
        closing.enter_context(one)
    return sockets


def listening(
    closing: ExitStack, host: str, port: int = 0, *, v6only: bool = False
) -> socket.socket:
    """A service manager's socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    port = port or (free_port() if v6only else 0)
    one = closing.enter_context(socket.socket(family))
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6only))
    one.bind((host, port))
    one.listen()
    return one


def port_of(one: socket.socket) -> int:
    port: int = one.getsockname()[1]
    return port


def everywhere(port: int) -> Endpoint:
    return Endpoint(port, None, "PORT")


def at(host: str, port: int, setting: str = "PORT") -> Endpoint:
    return Endpoint(port, ip_address(host), setting)


# --- Binding ------------------------------------------------------------------------------------


def test_wildcard_is_one_socket_for_both(closing: ExitStack) -> None:
    """An IPv4 client reaches it, and its address reads as Courier's logs have it."""
    (one,) = keep(closing, bind([everywhere(0)]))
    closing.enter_context(socket.create_connection(("127.0.0.1", port_of(one))))
    one.setblocking(True)
    accepted, peer = one.accept()
    closing.enter_context(accepted)

    assert one.family == socket.AF_INET6
    assert peer[0] == listener.ip_text(peer[0]) == "::ffff:127.0.0.1"
    assert accepted.getsockname()[0] == "::ffff:127.0.0.1"


def test_wildcard_without_ipv6(closing: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no IPv6, IPv4 alone is served."""
    make = socket.socket

    def without_ipv6(family: int, kind: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return make(family, kind)

    monkeypatch.setattr(listener.socket, "socket", without_ipv6)
    (one,) = keep(closing, bind([everywhere(0)]))

    assert (one.family, one.getsockname()[0]) == (socket.AF_INET, "0.0.0.0")


def test_sockets_have_their_options(closing: ExitStack) -> None:
    """Close-on-exec, non-blocking, SO_REUSEADDR; an address that isn't there yet can be bound."""
    sockets = keep(closing, bind([at("127.0.0.1", 0), at("192.0.2.77", 0), at("2001:db8::77", 0)]))

    for one in sockets:
        assert not os.get_inheritable(one.fileno())
        assert one.getblocking() is False
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def test_ipv4_client_of_an_ipv4_socket_is_logged_alike() -> None:
    """Courier writes IPv4 as IPv4-mapped IPv6, whatever the socket; a zone is left out."""
    assert listener.ip_text("127.0.0.1") == "::ffff:127.0.0.1"
    assert listener.ip_text("fe80::1%eth0") == "fe80::1"


def test_busy_port_names_setting_and_address(closing: ExitStack) -> None:
    """And what was bound before it is given back."""
    (busy,) = keep(closing, bind([at("127.0.0.1", 0)]))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = port_of(probe)

    with pytest.raises(ListenError) as failure:
        bind([at("127.0.0.1", free), at("127.0.0.1", port_of(busy), "SSLPORT")])

    assert str(failure.value) == (
        f"SSLPORT: 127.0.0.1.{port_of(busy)}: can't listen there: Address already in use"
    )
    keep(closing, bind([at("127.0.0.1", free)]))


def test_busy_wildcard_is_no_reason_for_ipv4_alone(closing: ExitStack) -> None:
    """A second daemon must not get half of the addresses."""
    (busy,) = keep(closing, bind([everywhere(0)]))

    with pytest.raises(ListenError, match=f"^PORT: {port_of(busy)}: "):
        bind([everywhere(port_of(busy))])


# --- Inherited ----------------------------------------------------------------------------------


def test_inherited_as_the_settings_want(closing: ExitStack) -> None:
    """No warning, nothing bound, and ready for use: close-on-exec, non-blocking."""
    wild, local = listening(closing, "::"), listening(closing, "127.0.0.1")
    local.set_inheritable(True)

    found = complete([wild, local], [everywhere(port_of(wild)), at("127.0.0.1", port_of(local))])

    assert (found.sockets, found.warnings) == ((wild, local), ())
    assert not os.get_inheritable(local.fileno())
    assert local.getblocking() is False


def test_inherited_pair_serves_everywhere(closing: ExitStack) -> None:
    """One socket for IPv6 alone and one for IPv4 are all addresses."""
    six = listening(closing, "::", v6only=True)
    four = listening(closing, "0.0.0.0", port_of(six))

    found = complete([six, four], [everywhere(port_of(six))])

    assert (found.sockets, found.warnings) == ((six, four), ())


def test_missing_socket_is_bound(closing: ExitStack) -> None:
    inherited = listening(closing, "127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = port_of(probe)

    found = complete([inherited], [at("127.0.0.1", port_of(inherited)), at("127.0.0.1", free)])
    keep(closing, list(found.sockets[1:]))

    assert [port_of(one) for one in found.sockets] == [port_of(inherited), free]
    assert found.warnings == (
        f"PORT: 127.0.0.1.{free}: not among the service manager's sockets; listening there too",
    )


def test_nothing_inherited_is_bound_without_a_word(closing: ExitStack) -> None:
    """Not started by socket activation: the settings are all there is."""
    found = complete([], [at("127.0.0.1", 0)])
    keep(closing, list(found.sockets))

    assert (len(found.sockets), found.warnings) == (1, ())


def test_extra_socket_is_served_with_a_warning(closing: ExitStack) -> None:
    wanted, extra = listening(closing, "127.0.0.1"), listening(closing, "127.0.0.1")

    found = complete([wanted, extra], [at("127.0.0.1", port_of(wanted))])

    assert found.sockets == (wanted, extra)
    assert found.warnings == (
        f"PORT: the service manager's socket 127.0.0.1.{port_of(extra)} is in no setting; it is served",
    )


@pytest.mark.parametrize(
    ("host", "v6only", "asked"),
    [
        ("127.0.0.1", False, None),
        ("::", True, None),
        ("0.0.0.0", False, None),
        ("::", False, "127.0.0.1"),
        ("0.0.0.0", False, "127.0.0.1"),
        ("::", True, "::1"),
    ],
)
def test_different_socket_is_served_with_a_warning(
    closing: ExitStack, host: str, v6only: bool, asked: str | None
) -> None:
    """Binding what the settings ask for would fail beside it: it is said, not died of."""
    one = listening(closing, host, v6only=v6only)
    endpoint = Endpoint(port_of(one), ip_address(asked) if asked else None, "PORT")

    found = complete([one], [endpoint])

    assert found.sockets == (one,)
    assert found.warnings == (
        f"PORT: {endpoint}: the service manager's socket listens on {host}.{port_of(one)} instead",
    )


def test_other_family_on_the_same_port_is_missing(closing: ExitStack) -> None:
    """A socket for IPv6 alone doesn't serve an IPv4 address, so that is bound beside it."""
    six = listening(closing, "::", v6only=True)

    found = complete([six], [at("127.0.0.1", port_of(six))])
    keep(closing, list(found.sockets[1:]))

    assert [one.family for one in found.sockets] == [socket.AF_INET6, socket.AF_INET]
    assert len(found.warnings) == 2


def test_what_is_no_listener_is_left_alone(closing: ExitStack) -> None:
    """A descriptor of another kind is told of and not used."""
    datagram = closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    unbound = closing.enter_context(socket.socket())

    found = complete([datagram, unbound], [])

    assert found.sockets == ()
    assert found.warnings == tuple(
        f"inherited descriptor {one.fileno()}: not a listening TCP socket"
        for one in (datagram, unbound)
    )


def test_socket_bound_before_that_is_wanted_no_more() -> None:
    """It is left out, for the caller to close; one that is still wanted is kept, without a word."""
    kept, dropped = listener.bind(
        [
            Endpoint(0, ip_address("127.0.0.1"), "PORT"),
            Endpoint(0, ip_address("127.0.0.2"), "PORT"),
        ]
    )
    wanted = [Endpoint(kept.getsockname()[1], ip_address("127.0.0.1"), "PORT")]

    completed = listener.complete([], wanted, [kept, dropped])

    assert completed.sockets == (kept,)
    assert completed.warnings == ()
    kept.close()
    dropped.close()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0.0.0.0", "127.0.0.1"),
        (None, "127.0.0.1"),
        (None, "::1"),
        ("127.0.0.1", None),
        ("::1", None),
    ],
)
def test_socket_bound_before_at_a_wider_or_narrower_address(
    closing: ExitStack, before: str | None, after: str | None
) -> None:
    """A new one takes its place: at no moment is a client refused, at none may others join."""
    [former] = keep(closing, bind([Endpoint(free_port(), before and ip_address(before), "PORT")]))
    wanted = Endpoint(port_of(former), after and ip_address(after), "PORT")

    completed = complete([], [wanted], [former])

    [new] = keep(closing, list(completed.sockets))
    assert completed.warnings == ()
    assert new is not former
    assert listener.name(new) == f"{after or '::'}.{port_of(former)}"
    former.close()
    family = socket.AF_INET6 if "::1" in (before, after) else socket.AF_INET
    with socket.socket(family) as client:
        client.connect(("::1" if family == socket.AF_INET6 else "127.0.0.1", wanted.port))
    with pytest.raises(ListenError):
        bind([wanted])


def test_socket_bound_before_stays_if_a_new_one_can_t_be_bound(closing: ExitStack) -> None:
    """Nothing changes then, and what was bound beside it is closed again."""
    [former] = keep(closing, bind([everywhere(free_port())]))
    busy = listening(closing, "127.0.0.1")
    wanted = [at("127.0.0.1", port_of(former)), at("127.0.0.1", port_of(busy))]

    with pytest.raises(ListenError, match=f"{port_of(busy)}: can't listen there"):
        complete([], wanted, [former])

    with socket.create_connection(("127.0.0.1", port_of(former))):
        former.settimeout(5)
        former.accept()[0].close()
