"""courier.process.master, for accounts whose mail is on another host."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from courier.process.message import Kind, ProxyRequest
from tests.courier.process.puppets import Puppet, Settings, Stage
from tests.support.daemon import descriptors, wait_until

Start = Callable[..., Stage]
USERID = "far@example.com"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    stages: list[Stage] = []

    def start_stage(**settings: int) -> Stage:
        stage = Stage(tmp_path, Settings(**settings))
        stages.append(stage)
        stage.add_account(USERID, OPTIONS="far=1", PASSWD2='p"w')
        return stage.start()

    yield start_stage
    for stage in stages:
        stage.close()
        assert "Traceback" not in stage.log and "internal error" not in stage.log, stage.log


def passed_on(stage: Stage, login: Puppet, number: int) -> tuple[socket.socket, Puppet, int]:
    """A client that logs in: its socket, the proxy, and its number there."""
    assert login.admit(number)[0] == Kind.ADMITTED.value
    client = login.log_in(number, USERID)
    proxy = stage.next("proxy")
    request = ProxyRequest.of(proxy.hear())
    return client, proxy, request.number


def test_client_is_given_to_the_proxy(start: Start) -> None:
    """With what it takes to log in elsewhere; it is counted until the proxy says that it ended."""
    stage = start(max_daemons=1)
    login = stage.login()
    login.admit(1)
    client = login.log_in(1, USERID, unread=b"b NOOP\r\n")
    proxy = stage.next("proxy")
    fields, descriptor = proxy.hear_with_descriptor()
    request = ProxyRequest.of(fields)

    assert (request.address, request.hosts) == (USERID, ("far.example",))
    assert request.password.reveal() == b'p"w'
    assert (request.greeting, request.unread) == (b"a OK LOGIN Ok.\r\n", b"b NOOP\r\n")
    assert descriptor is not None
    proxy.say(Kind.REACHED, b"%d" % request.number)
    assert login.hear() == [Kind.TAKEN.value, b"1"]
    with socket.socket(fileno=descriptor) as theirs:
        theirs.sendall(b"x")
        assert client.recv(9) == b"x"
    assert client.recv(9) == b""  # nobody else has it
    assert login.admit(2)[0] == Kind.REFUSED.value
    proxy.say(Kind.ENDED, b"%d" % request.number)
    wait_until(lambda: login.admit(3)[0] == Kind.ADMITTED.value)
    client.close()


def test_no_host_takes_the_client(start: Start) -> None:
    """The login process is told, and the client may try again."""
    stage = start()
    login = stage.login()
    client, proxy, number = passed_on(stage, login, 1)

    proxy.say(Kind.FAILED, b"%d" % number)

    assert login.hear() == [Kind.UNREACHED.value, b"1"]
    login.log_in(1, USERID).close()
    assert ProxyRequest.of(proxy.hear()).address == USERID
    client.close()


def test_proxy_that_dies(start: Start) -> None:
    """Log-ins that it was busy with fail; the next one gets another."""
    stage = start()
    login = stage.login()
    client, proxy, _ = passed_on(stage, login, 1)

    proxy.die()

    assert login.hear() == [Kind.UNREACHED.value, b"1"]
    login.log_in(1, USERID).close()
    assert ProxyRequest.of(stage.next("proxy").hear()).address == USERID
    client.close()


def test_client_that_goes_meanwhile(start: Start) -> None:
    """Its count is free at once, and what the proxy says of it later counts for nothing."""
    stage = start(max_daemons=1)
    login = stage.login()
    client, proxy, number = passed_on(stage, login, 1)
    before = len(descriptors(stage.pid))

    login.say(Kind.RELEASE, b"1")

    wait_until(lambda: login.admit(2)[0] == Kind.ADMITTED.value)
    assert len(descriptors(stage.pid)) < before
    proxy.say(Kind.REACHED, b"%d" % number)
    proxy.say(Kind.ENDED, b"%d" % number)
    client.close()
    login.log_in(2, USERID).close()
    proxy.say(Kind.FAILED, b"%d" % ProxyRequest.of(proxy.hear()).number)
    assert login.hear() == [Kind.UNREACHED.value, b"2"]


def test_account_without_a_known_password(start: Start) -> None:
    """It can't be logged in elsewhere; the log says so."""
    stage = start()
    stage.add_account("u@example.com", OPTIONS="far=1")
    login = stage.login()
    login.admit(1)

    client = login.log_in(1)

    assert login.hear() == [Kind.UNREACHED.value, b"1"]
    assert client.recv(9) == b""
    assert "WARN: proxy enabled, but no password for u@example.com" in stage.log
    assert stage.starts_nothing()


def test_no_process_can_be_started(start: Start) -> None:
    stage = start()
    login = stage.login()
    login.admit(1)
    stage.fail_to_fork(fail=True)

    login.log_in(1, USERID).close()

    assert login.hear() == [Kind.UNREACHED.value, b"1"]
    assert "no proxy takes the connection" in stage.log
    stage.fail_to_fork(fail=False)


@pytest.mark.parametrize("kind", [Kind.REACHED, Kind.FAILED])
def test_message_about_nobody(start: Start, kind: Kind) -> None:
    """A process that speaks of clients which it was not given is ended."""
    stage = start()
    login = stage.login()
    client, proxy, _ = passed_on(stage, login, 1)

    proxy.say(kind, b"77")

    assert login.hear() == [Kind.UNREACHED.value, b"1"]
    assert not proxy.is_alive()
    client.close()


def test_proxy_that_rests_is_let_go_unless_a_client_is_on_its_way(start: Start) -> None:
    stage = start()
    login = stage.login()
    client, proxy, number = passed_on(stage, login, 1)
    proxy.say(Kind.IDLE, b"0")
    proxy.say(Kind.FAILED, b"%d" % number)
    assert login.hear() == [Kind.UNREACHED.value, b"1"]

    proxy.say(Kind.IDLE, b"0")

    assert proxy.hear() == [Kind.EXIT.value]
    client.close()
