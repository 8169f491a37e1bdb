"""courier.process.master: clients that come back from their session to the login process that relays them."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from courier.process import channel
from courier.process.message import MAX_UNREAD, Kind, SessionRequest
from tests.courier.process.puppets import Puppet, Settings, Stage
from tests.support.daemon import descriptors, wait_until
from tests.support.lingering import lingering

Start = Callable[..., Stage]
ADMITTED, REFUSED = Kind.ADMITTED.value, Kind.REFUSED.value


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    stages: list[Stage] = []

    def start_stage(patience_s: float = 5.0, **settings: Any) -> Stage:
        stages.append(Stage(tmp_path, Settings(**settings), patience_s))
        return stages[-1].start()

    yield start_stage
    for stage in stages:
        stage.close()
        assert "Traceback" not in stage.log and "internal error" not in stage.log, stage.log


class Play:
    """A login process with one connection, which a worker serves: puppets."""

    def __init__(self, stage: Stage, *, takes_back: bool = True) -> None:
        self.stage = stage
        self.login = stage.login()
        assert self.login.admit(1)[0] == ADMITTED
        self.worker, self.number, self.pair = self.log_in(takes_back=takes_back)

    def log_in(
        self, worker: Puppet | None = None, *, takes_back: bool = True
    ) -> tuple[Puppet, bytes, tuple[socket.socket, socket.socket]]:
        """Give the worker, its number for the session, and both ends of the pair."""
        ours = self.login.log_in(1, takes_back=takes_back)
        worker = worker or self.stage.worker()
        fields, descriptor = worker.hear_with_descriptor()
        assert descriptor is not None
        assert SessionRequest.of(fields).may_return is takes_back
        assert self.login.hear() == [Kind.TAKEN.value, b"1"]
        return worker, fields[1], (ours, socket.socket(fileno=descriptor))

    def give_back(self, unread: bytes = b"", **changed: Any) -> None:
        """Have the worker return the client, as `courier.process.attendant` does."""
        message = {"number": self.number, "unread": unread} | changed
        self.worker.say(Kind.RETURNED, *message.values())

    def close(self) -> None:
        for end in self.pair:
            end.close()


def is_closed(play: Play) -> bool:
    """Whether nobody has the session's end of the pair any more, our own copy aside."""
    play.pair[1].close()
    assert select.select([play.pair[0]], [], [], 20.0)[0]
    return play.pair[0].recv(1) == b""


def test_client_goes_back(start: Start) -> None:
    """Its login process gets what the worker had read; the place is kept all along, for another session,
    too, and is given back once."""
    play = Play(start(max_daemons=1))
    for _ in range(3):
        play.give_back(b"b NOOP\r\n\0\xff")

        assert play.login.hear() == [Kind.RESUME.value, b"1", b"b NOOP\r\n\0\xff"]
        assert is_closed(play)
        assert play.login.admit(2)[0] == REFUSED
        play.close()
        _, play.number, play.pair = play.log_in(play.worker)
    play.give_back()
    play.login.hear()
    for _ in range(2):
        play.login.say(Kind.RELEASE, b"1")
    play.worker.say(Kind.ENDED, play.number)
    assert [play.login.admit(number)[0] for number in (3, 4)] == [ADMITTED, REFUSED]
    play.close()


@pytest.mark.parametrize("how", ["ended", "died"])
@pytest.mark.parametrize("relayed", [{"takes_back": True}, {"tls": True}], ids=str)
def test_session_that_ends(start: Start, how: str, relayed: dict[str, bool]) -> None:
    """Who relays it is told, and keeps the connection's place until it has done with it."""
    stage = start(max_daemons=1)
    login = stage.login()
    assert login.admit(1)[0] == ADMITTED
    login.log_in(1, **relayed).close()
    worker = stage.worker()
    number = worker.hear()[1]
    assert login.hear() == [Kind.TAKEN.value, b"1"]

    if how == "ended":
        worker.say(Kind.ENDED, number)
    else:
        worker.die()

    assert login.hear() == [Kind.LEFT.value, b"1"]
    assert login.admit(2)[0] == REFUSED
    for _ in range(2):
        login.say(Kind.RELEASE, b"1")
        worker.is_alive() and worker.say(Kind.ENDED, number)
    assert [login.admit(number)[0] for number in (3, 4)] == [ADMITTED, REFUSED]


def test_session_that_nobody_relays_ends(start: Start) -> None:
    """Its login process has nothing to do with it any more."""
    play = Play(start(max_daemons=1), takes_back=False)

    play.worker.say(Kind.ENDED, play.number)

    wait_until(lambda: play.login.admit(2)[0] == ADMITTED)
    assert play.login.says_nothing()
    play.close()


def test_login_process_that_has_gone(start: Start) -> None:
    """The place is free."""
    play = Play(start(max_daemons=1))
    play.login.die()
    replacement = play.stage.login()
    assert replacement.admit(1)[0] == REFUSED  # the session goes on, as far as master knows

    play.give_back()

    wait_until(lambda: replacement.admit(2)[0] == ADMITTED)
    assert replacement.says_nothing()
    assert play.worker.is_alive()
    play.close()


def test_login_process_that_goes_with_it(start: Start) -> None:
    """A client that was given back, and not yet away from there, has left its place."""
    play = Play(start(max_daemons=1))
    play.give_back()
    play.login.hear()

    play.login.die()

    assert play.stage.login().admit(1)[0] == ADMITTED
    play.close()


def test_worker_that_dies_behind_it(start: Start) -> None:
    """The place is not the worker's any more, and is kept."""
    play = Play(start(max_daemons=1))
    play.give_back()
    play.worker.die()

    assert play.login.hear()[0] == Kind.RESUME.value
    play.stage.wait_for_log(f"worker {play.worker.pid} died")
    assert play.login.admit(2)[0] == REFUSED
    play.login.say(Kind.RELEASE, b"1")
    assert play.login.admit(3)[0] == ADMITTED
    play.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"number": b"999"},
        {"number": b"x"},
        {"number": b"9" * 100},
        {"unread": b"x" * (MAX_UNREAD + 1)},
        {"more": b""},
    ],
    ids=repr,
)
def test_return_that_makes_no_sense(start: Start, changed: dict[str, Any]) -> None:
    """It ends the worker that said it, as its login process hears."""
    play = Play(start(max_daemons=1))

    play.give_back(**changed)

    wait_until(lambda: not play.worker.is_alive(), lambda: play.stage.log)
    assert is_closed(play)
    assert "from process" in play.stage.log
    assert play.login.hear() == [Kind.LEFT.value, b"1"]
    play.login.say(Kind.RELEASE, b"1")
    assert play.login.admit(2)[0] == ADMITTED
    play.close()


def test_return_of_what_nobody_takes_back(start: Start) -> None:
    """Neither a connection that its login process has let go of, nor one that another host has."""
    play = Play(start(), takes_back=False)
    play.give_back()
    wait_until(lambda: not play.worker.is_alive())
    assert is_closed(play)
    play.close()

    stage = play.stage
    stage.add_account("far@example.com", OPTIONS="far=1", PASSWD2="pw")
    play.login.admit(5)
    client = play.login.log_in(5, "far@example.com", takes_back=True)
    proxy = stage.next("proxy")
    number = proxy.hear()[1]
    proxy.say(Kind.REACHED, number)
    assert play.login.hear() == [Kind.TAKEN.value, b"5"]
    proxy.say(Kind.RETURNED, number, b"")
    wait_until(lambda: not proxy.is_alive())
    assert play.login.hear() == [Kind.LEFT.value, b"5"]
    assert play.login.is_alive()
    client.close()


@pytest.mark.parametrize("refuses", [True, False], ids=["refused", "closed"])
@pytest.mark.parametrize("kind", [Kind.RETURNED, Kind.ENDED, Kind.IDLE])
def test_descriptors_from_a_worker(
    start: Start, monkeypatch: pytest.MonkeyPatch, kind: Kind, refuses: bool
) -> None:
    """The system does not let it be sent (Linux 6.16); or else master does not wait for the peers of those
    that come, of which it has the last copy, and ends who sent them."""
    if not refuses:
        monkeypatch.setattr(channel, "_SO_PASSRIGHTS", 0)
    play = Play(start())
    lines = [lingering() for _ in range(5)]
    fields = [kind.value, b"999", *([b""] if kind is Kind.RETURNED else [])]
    rights = struct.pack("5i", *(sent for sent, _ in lines))
    try:
        play.worker.control.sendmsg(
            [channel.pack(fields)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
        )
    except PermissionError:
        assert refuses
    else:
        for sent, _ in lines:
            os.close(sent)
        wait_until(lambda: not play.worker.is_alive())

    play.login.say(Kind.ADMIT, b"2", b"192.0.2.1", b"1234", b"192.0.2.143", b"143")
    heard = {play.login.hear()[0] for _ in range(1 if refuses else 2)}
    assert heard == ({ADMITTED} if refuses else {ADMITTED, Kind.LEFT.value})
    for sent, peer in lines:
        peer.close()
        if refuses:
            os.close(sent)
    play.close()


def test_descriptor_from_a_login_process_that_waits_for_its_peer(start: Start) -> None:
    """It may send one with a log-in alone; master closes others without waiting, though it has their last copy."""
    play = Play(start())
    sent, peer = lingering()
    play.login.say(Kind.RELEASE, b"1", descriptor=sent)
    os.close(sent)

    assert play.stage.login().admit(1)[0] == ADMITTED
    assert not play.login.is_alive()
    peer.close()
    play.close()


def test_second_return(start: Start) -> None:
    """A session can leave its client once."""
    play = Play(start())
    play.give_back()
    play.login.hear()

    play.give_back()

    wait_until(lambda: not play.worker.is_alive())
    assert play.login.says_nothing()
    play.close()


def test_return_from_a_login_process(start: Start) -> None:
    """That is no worker's message to forge."""
    play = Play(start())

    play.login.say(Kind.RETURNED, play.number, b"")

    wait_until(lambda: not play.login.is_alive())
    assert play.worker.is_alive()
    play.close()


def test_number_that_the_login_process_has_given_away(start: Start) -> None:
    """It may not hold two places by one number: that of the session is free then."""
    play = Play(start(max_daemons=2))
    assert play.login.admit(1)[0] == ADMITTED

    play.give_back()

    wait_until(lambda: play.login.admit(2)[0] == ADMITTED)
    assert play.login.admit(3)[0] == REFUSED
    play.close()


def test_login_process_that_does_not_listen(start: Start) -> None:
    """It is not flooded with what clients have sent: others lose their connection, it is not ended."""
    stage = start(max_daemons=200, max_per_ip=200)
    login = stage.login()
    worker: Puppet | None = None
    sessions = []
    for number in range(1, 101):
        assert login.admit(number)[0] == ADMITTED
        login.log_in(number, takes_back=True).close()
        worker = worker or stage.worker()
        sessions.append(worker.hear()[1])
        assert login.hear()[0] == Kind.TAKEN.value
    assert worker is not None
    before = len(descriptors(stage.pid))

    worker.control.setblocking(True)  # master takes it all
    for number_of_session in sessions:
        worker.say(Kind.RETURNED, number_of_session, b"x" * MAX_UNREAD)

    worker.say(Kind.IDLE, b"0")
    assert worker.hear() == [Kind.EXIT.value]  # master has heard it all
    assert f"WARN: login process {login.pid} is too busy to take a client back" in stage.log
    login.say(Kind.ADMIT, b"500", b"192.0.2.1", b"1234", b"192.0.2.143", b"143")
    heard = []
    while (fields := login.hear())[0] in (Kind.RESUME.value, Kind.LEFT.value):
        heard.append(fields[0])
    assert fields[:2] == [ADMITTED, b"500"]
    assert len(heard) == 100 and 3 <= heard.count(Kind.RESUME.value) < 100
    for number in range(1, 101):
        login.say(Kind.RELEASE, b"%d" % number)
    admitted = [login.admit(number)[0] == ADMITTED for number in range(501, 701)]
    assert admitted == [True] * 199 + [False]
    assert len(descriptors(stage.pid)) <= before


def test_worker_of_one_session(start: Start) -> None:
    """It is let go when its session has left, though the connection goes on."""
    play = Play(start(one_session_per_worker=True))

    play.give_back()

    assert play.worker.hear() == [Kind.EXIT.value]
    assert play.login.hear()[0] == Kind.RESUME.value
    play.close()


def test_stop_while_a_client_goes_back(start: Start) -> None:
    """Its login process gets it all the same, to say goodbye."""
    play = Play(start())
    os.kill(play.stage.pid, 15)
    assert play.login.hear() == [Kind.STOP.value]

    play.give_back(b"b NOOP\r\n")

    assert play.login.hear() == [Kind.RESUME.value, b"1", b"b NOOP\r\n"]
    play.login.die()
    play.worker.die()
    assert play.stage.wait() == 0
    play.close()


def test_generations(start: Start) -> None:
    """A client goes back to the login process that has it, though that accepts no more."""
    play = Play(start())
    play.stage.reload()
    play.stage.login()
    assert play.login.hear() == [Kind.DRAIN.value]

    play.give_back()

    assert play.login.hear()[:2] == [Kind.RESUME.value, b"1"]
    play.close()
