"""courier.process.master, with login processes and workers that say what they shouldn't."""

from __future__ import annotations

import itertools
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from courier.process import channel
from courier.process.channel import ChannelClosed
from courier.process.message import Kind, SessionRequest
from tests.courier.process.puppets import AUTHDAEMOND_S, Puppet, Settings, Stage
from tests.support.daemon import descriptors, wait_until

Start = Callable[..., Stage]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    stages: list[Stage] = []

    def start_stage(patience_s: float = 5.0, **settings: Any) -> Stage:
        stage = Stage(tmp_path, Settings(**settings), patience_s)
        stages.append(stage)
        return stage.start()

    yield start_stage
    for stage in stages:
        stage.close()
        assert "Traceback" not in stage.log and "internal error" not in stage.log, stage.log


ADMITTED, REFUSED = Kind.ADMITTED.value, Kind.REFUSED.value


# --- What a hostile login process can say --------------------------------------------------------

MALFORMED = [
    [b"nonsense"],
    [Kind.ADMIT.value],
    [Kind.ADMIT.value, b"1"],
    [Kind.ADMIT.value, b"1", b"192.0.2.1", b"1"],
    [Kind.ADMIT.value, b"x", b"192.0.2.1", b"1", b"192.0.2.143", b"143"],
    [Kind.ADMIT.value, b"1", b"not an address", b"1", b"192.0.2.143", b"143"],
    [Kind.ADMIT.value, b"1", b"192.0.2.1\nERR: forged", b"1", b"192.0.2.143", b"143"],
    [Kind.ADMIT.value, b"1", b"192.0.2.1", b"-1", b"192.0.2.143", b"143"],
    [Kind.ADMIT.value, b"1", b"192.0.2.1", b"1", b"", b"143"],
    [Kind.ADMIT.value, b"1", b"192.0.2.1", b"1", b"192.0.2.143", b"x"],
    [Kind.RELEASE.value],
    [Kind.RELEASE.value, b"9" * 1000],
    [Kind.LOGIN.value, b"1"],
    [Kind.TAKEN.value, b"1"],
    [Kind.ENDED.value, b"1"],
    [Kind.IDLE.value, b"0"],
    [Kind.SESSION.value, *[b"1"] * 11],
    [Kind.STOP.value],
    [b"x"] * 32,
]


@pytest.mark.parametrize("fields", MALFORMED, ids=lambda fields: repr(fields)[:40])
def test_malformed_message_ends_its_sender_alone(start: Start, fields: list[bytes]) -> None:
    """The login process is killed and replaced, another one and master go on."""
    stage = start(login_processes=2)
    hostile, other = stage.login(), stage.login()

    channel.send(hostile.control, fields)

    replacement = stage.login()
    assert not hostile.is_alive()
    assert other.admit(1)[0] == ADMITTED
    assert replacement.admit(1)[0] == ADMITTED
    assert f"from process {hostile.pid}, which is ended" in stage.log
    assert "\nERR: forged" not in stage.log


def test_octets_that_are_no_message(start: Start) -> None:
    """The same for what is not even cut into fields, and for what is too long."""
    stage = start()
    for data in (b"\0", b"\xff" * 1000, b"x" * (channel.MAX_MESSAGE + 1)):
        hostile = stage.login()
        hostile.control.send(data)
        wait_until(lambda: not hostile.is_alive())  # noqa: B023
    assert stage.login().admit(1)[0] == ADMITTED


def test_login_process_that_closes_its_channel_and_stays(start: Start) -> None:
    """It accepts clients that nobody counts, so it has to go."""
    stage = start(patience_s=0.1)
    hostile = stage.login()

    hostile.control.close()

    assert stage.login().admit(1)[0] == ADMITTED
    assert not hostile.is_alive()


def test_empty_message(start: Start) -> None:
    """It looks like the end of the channel, and is the end of its sender."""
    stage = start(patience_s=0.1)
    hostile = stage.login()

    hostile.control.send(b"")

    stage.login()
    assert not hostile.is_alive()


@pytest.mark.slow
def test_last_words_that_are_malformed(start: Start) -> None:
    """A process that says nonsense and ends at once is not killed a second time."""
    stage = start()
    for _ in range(20):
        hostile = stage.login()
        channel.send(hostile.control, [Kind.RELEASE.value, b"1"])
        channel.send(hostile.control, [b"nonsense"])
        hostile.die()
    assert stage.login().admit(1)[0] == ADMITTED


def test_number_in_use(start: Start) -> None:
    """A connection can't be counted under another's number."""
    stage = start()
    hostile = stage.login()
    assert hostile.admit(1)[0] == ADMITTED

    hostile.say(Kind.ADMIT, b"1", b"192.0.2.1", b"1", b"192.0.2.143", b"143")

    stage.login()
    assert not hostile.is_alive()


def test_login_of_a_connection_that_was_not_admitted(start: Start) -> None:
    """Nobody logs in past the limits."""
    stage = start()
    hostile = stage.login()

    client = hostile.log_in(1)

    stage.login()
    assert not hostile.is_alive()
    assert client.recv(1) == b""
    assert stage.authdaemond.asked == []
    client.close()


def test_second_login_while_the_first_is_asked(start: Start) -> None:
    """One connection asks one question at a time."""
    stage = start()
    stage.authdaemond.behaviour.delays["u@example.com"] = 30.0
    hostile = stage.login()
    hostile.admit(1)

    clients = [hostile.log_in(1), hostile.log_in(1)]

    stage.login()
    assert not hostile.is_alive()
    for client in clients:
        assert client.recv(1) == b""  # master kept no copy
        client.close()


def test_login_without_a_descriptor(start: Start) -> None:
    """There would be nobody to serve."""
    stage = start()
    hostile = stage.login()
    hostile.admit(1)

    hostile.say(Kind.LOGIN, *[b"1"] * 10)

    stage.login()
    assert not hostile.is_alive()


def test_release_of_unknown_numbers(start: Start) -> None:
    """It is no offence: a release may cross a worker's taking over. No count goes below nothing."""
    stage = start(max_daemons=2)
    hostile = stage.login()

    for number in range(50):
        hostile.say(Kind.RELEASE, b"%d" % number)

    assert [hostile.admit(number)[0] for number in (1, 2, 3)] == [ADMITTED, ADMITTED, REFUSED]


@pytest.mark.parametrize(
    "message",
    [
        (Kind.RELEASE, b"2"),
        (Kind.ADMIT, b"2", b"192.0.2.1", b"1", b"192.0.2.2", b"143"),
        (Kind.ASK, b"1", b"imap", b"login", b"u", b"p"),
        (Kind.READY, b"0"),
        (Kind.FULL, b"0"),
    ],
    ids=lambda message: message[0].name,
)
def test_descriptors_with_messages_that_need_none(start: Start, message: tuple[Any, ...]) -> None:
    """Master keeps none of them, and ends who sends one."""
    stage = start(login_processes=2)
    puppet, other = stage.login(), stage.login()
    puppet.admit(1)
    before = len(descriptors(stage.pid))

    puppet.say(*message, descriptor=0)

    wait_until(lambda: not puppet.is_alive())
    assert "unexpected descriptor from process" in stage.log
    assert stage.login().admit(2)[0] == other.admit(2)[0] == ADMITTED
    assert len(descriptors(stage.pid)) == before


def test_flood_of_one_process_does_not_starve_another(start: Start) -> None:
    """However much one sends, another is answered."""
    stage = start(login_processes=2)
    hostile, other = stage.login(), stage.login()

    pid = os.fork()
    if pid == 0:
        try:
            message = channel.pack([Kind.RELEASE.value, b"7"])
            hostile.control.setblocking(True)
            while True:
                hostile.control.send(message)
        finally:
            os._exit(0)
    try:
        for number in range(20):
            assert other.admit(number)[0] == ADMITTED
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


# --- Log-ins -------------------------------------------------------------------------------------


def test_login_reaches_the_account_s_worker(start: Start) -> None:
    """The worker is told what authdaemond said, and gets the client's socket; nobody else has it."""
    stage = start()
    stage.add_account("v@example.com", MAILDIR="elsewhere", OPTIONS="a=b")
    puppet = stage.login()
    puppet.admit(1)

    client = puppet.log_in(1, "v@example.com", unread=b"b NOOP\r\n", tls=True)

    fields, descriptor = stage.worker().hear_with_descriptor()
    request = SessionRequest.of(fields)
    assert (request.address, request.home, request.maildir, request.options) == (
        "v@example.com",
        "/home/u",
        "elsewhere",
        "a=b",
    )
    assert (request.peer.ip, request.unread, request.tls) == ("192.0.2.1", b"b NOOP\r\n", True)
    assert puppet.hear() == [Kind.TAKEN.value, b"1"]
    assert descriptor is not None
    os.write(descriptor, b"hello")
    os.close(descriptor)
    assert client.recv(10) == b"hello"
    assert client.recv(10) == b""  # neither master nor the forked process kept a copy
    client.close()


def test_sessions_of_one_uid_share_a_worker(start: Start) -> None:
    """Others get one of their own."""
    stage = start()
    stage.add_account("same@example.com")
    stage.add_account("other@example.com", UID="5001")
    stage.add_account("group@example.com", GID="5001")
    puppet = stage.login()
    for number in range(1, 5):
        puppet.admit(number)

    puppet.log_in(1).close()
    first = stage.worker()
    first.hear()
    puppet.log_in(2, "same@example.com").close()
    assert SessionRequest.of(first.hear()).address == "same@example.com"
    puppet.log_in(3, "other@example.com").close()
    second = stage.worker()
    assert SessionRequest.of(second.hear()).address == "other@example.com"
    puppet.log_in(4, "group@example.com").close()
    third = stage.worker()
    assert SessionRequest.of(third.hear()).address == "group@example.com"


@pytest.mark.parametrize(
    ("userid", "kind"),
    [
        ("wrong@example.com", Kind.REJECTED),
        ("off@example.com", Kind.DISABLED),
        ("root@example.com", Kind.TEMPORARY),
        ("wheel@example.com", Kind.TEMPORARY),
        ("minus@example.com", Kind.TEMPORARY),
        ("nobody knows", Kind.TEMPORARY),
        ("broken@example.com", Kind.TEMPORARY),
        ("silent@example.com", Kind.TEMPORARY),
        ("two\nlines", Kind.REJECTED),
        ("", Kind.REJECTED),
        ("x" * 9000, Kind.REJECTED),
    ],
)
def test_login_that_is_not_let_in(start: Start, userid: str, kind: Kind) -> None:
    """Wrong, disabled, root, impossible, unknown to the system, and an authdaemond gone mad."""
    stage = start()
    stage.add_account("off@example.com", OPTIONS="off=1")
    stage.add_account("root@example.com", UID="0")
    stage.add_account("wheel@example.com", GID="0")
    stage.add_account("minus@example.com", UID="4294967295")
    stage.add_account("nobody knows", USERNAME="no-such-user-here")
    stage.authdaemond.behaviour.instead = {
        "broken@example.com": b"GID=x\n.\n",
        "silent@example.com": b"",
    }
    puppet = stage.login()
    puppet.admit(1)

    client = puppet.log_in(1, userid)

    answer = puppet.hear()
    assert answer[:2] == [kind.value, b"1"]
    assert stage.starts_nothing(0.0)
    assert client.recv(1) == b""  # master has let go of the socket
    client.close()
    assert puppet.log_in(1).fileno() > 0  # the connection is still counted and may try again
    stage.worker()


@pytest.mark.parametrize("takes_certificates", [True, False])
def test_login_by_certificate(start: Start, *, takes_certificates: bool) -> None:
    """Without TLS_EXTERNAL a login process lets nobody in whose password it does not know."""
    stage = start(takes_certificates=takes_certificates)
    puppet = stage.login()
    puppet.admit(1)

    puppet.log_in(1, "u@example.com", "", authtype=b"EXTERNAL", tls=True).close()

    if takes_certificates:
        assert SessionRequest.of(stage.worker().hear()).address == "u@example.com"
        assert puppet.hear() == [Kind.TAKEN.value, b"1"]
    else:
        assert puppet.hear()[:2] == [Kind.REJECTED.value, b"1"]
        assert stage.starts_nothing(0.0)
        puppet.say(Kind.ASK, b"1", b"imap", b"EXTERNAL", b"u@example.com", b"")
        assert puppet.hear()[:2] == [Kind.REJECTED.value, b"1"]


def test_failures_of_late_are_told(start: Start) -> None:
    """By address and by userid, each a step more; who knows the password is let in at once."""
    stage = start()
    puppet = stage.login()
    puppet.admit(1)
    puppet.admit(2, "198.51.100.2")

    def failed(number: int, userid: str = "u@example.com") -> list[bytes]:
        puppet.log_in(number, userid, "wrong").close()
        return puppet.hear()

    rejected = [Kind.REJECTED.value, b"1"]
    first, *_, seventh = [failed(1) for _ in range(7)]
    assert (first, seventh) == ([*rejected, b"1"], [*rejected, b"2"])
    assert failed(1, "other@example.com") == [*rejected, b"2"]
    assert failed(2)[2] == b"2"
    assert failed(2, "third@example.com")[2] == b"1"
    puppet.log_in(1).close()
    assert puppet.hear() == [Kind.TAKEN.value, b"1"]


def ask(puppet: Puppet, number: int, password: bytes = b"pw") -> list[bytes]:
    puppet.say(Kind.ASK, b"%d" % number, b"imap", b"login", b"u@example.com", password)
    return puppet.hear()


def test_question(start: Start) -> None:
    """It lets nobody in; whom its answer has proved, the next request of that connection does."""
    stage = start()
    puppet = stage.login()
    for number in (1, 2):
        puppet.admit(number)

    assert ask(puppet, 1, b"wrong") == [Kind.REJECTED.value, b"1", b"1"]
    assert ask(puppet, 1) == [Kind.SAID.value, b"1", b""]
    assert stage.starts_nothing(0.0)
    puppet.log_in(2, "", "", authtype=b"PROVEN").close()
    assert puppet.hear()[:2] == [Kind.REJECTED.value, b"2"]

    puppet.log_in(1, "root", "", authtype=b"PROVEN").close()
    assert SessionRequest.of(stage.worker().hear()).address == "u@example.com"
    assert puppet.hear() == [Kind.TAKEN.value, b"1"]


@pytest.mark.parametrize(
    "between", ["a wrong password", "another question", "a new connection", "itself"]
)
def test_proof_is_good_for_what_comes_next_alone(start: Start, between: str) -> None:
    stage = start()
    puppet = stage.login()
    puppet.admit(1)
    ask(puppet, 1)
    match between:
        case "a wrong password":
            puppet.log_in(1, "u@example.com", "wrong").close()
            puppet.hear()
        case "another question":
            ask(puppet, 1, b"wrong")
        case "a new connection":
            puppet.say(Kind.RELEASE, b"1")
            puppet.admit(1)
        case "itself":
            puppet.log_in(1, "", "", authtype=b"PROVEN").close()
            stage.worker()
            puppet.hear()
            puppet.admit(1)

    puppet.log_in(1, "", "", authtype=b"PROVEN").close()

    assert puppet.hear()[:2] == [Kind.REJECTED.value, b"1"]


def test_question_out_of_turn(start: Start) -> None:
    """Of no connection of this process's: it is ended."""
    puppet = start().login()
    puppet.say(Kind.ASK, b"9", b"imap", b"login", b"u@example.com", b"pw")
    wait_until(lambda: not puppet.is_alive())


def test_authdaemond_that_is_away(start: Start) -> None:
    """A temporary failure with Courier's log lines; when it is back, log-ins work."""
    stage = start()
    puppet = stage.login()
    puppet.admit(1)
    stage.authdaemond.stop()

    puppet.log_in(1).close()
    assert puppet.hear() == [Kind.TEMPORARY.value, b"1"]
    assert "ERR: authdaemon: s_connect() failed: Connection refused\n" in stage.log
    assert "ERR: [Hint: perhaps authdaemond is not running?]\n" in stage.log

    stage.authdaemond.start()
    puppet.log_in(1).close()
    stage.worker()
    assert puppet.hear() == [Kind.TAKEN.value, b"1"]


def test_slow_authdaemond_delays_nobody_else(start: Start) -> None:
    """While one question waits, others are answered and connections admitted."""
    stage = start()
    stage.authdaemond.behaviour.delays["slow@example.com"] = 30.0
    stage.add_account("slow@example.com")
    puppet = stage.login()
    puppet.admit(1)
    puppet.admit(2)

    puppet.log_in(1, "slow@example.com").close()
    puppet.log_in(2).close()

    assert puppet.hear() == [Kind.TAKEN.value, b"2"]
    assert puppet.admit(3)[0] == ADMITTED
    stage.authdaemond.released.set()
    assert puppet.hear() == [Kind.TAKEN.value, b"1"]


def test_authdaemond_that_does_not_answer(start: Start) -> None:
    """Each log-in is given up when its own time is over, the others are not."""
    stage = start()
    numbers = itertools.count(100)
    for number in range(1, 4):
        stage.authdaemond.behaviour.delays[f"slow{number}@example.com"] = 3600.0
    puppet = stage.login()
    for number in range(1, 5):
        puppet.admit(number)

    def is_heard() -> bool:
        """Have master do all that is due."""
        return puppet.admit(next(numbers))[0] == ADMITTED

    def time_passes(seconds: float) -> None:
        stage.later(seconds)
        puppet.say(Kind.RELEASE, b"0")  # has master look at its clock

    for number in range(1, 4):
        puppet.log_in(number, f"slow{number}@example.com").close()
        assert is_heard()
        time_passes(1000.0)
    puppet.log_in(4).close()

    assert puppet.hear() == [Kind.TAKEN.value, b"4"]
    time_passes(AUTHDAEMOND_S - 3500.0)
    for number in range(1, 4):
        assert is_heard()
        assert stage.log.count("ERR: authdaemon: no reply in time\n") == number - 1
        time_passes(1000.0)
        assert puppet.hear() == [Kind.TEMPORARY.value, b"%d" % number]
    puppet.log_in(1).close()
    assert puppet.hear() == [Kind.TAKEN.value, b"1"]
    puppet.log_in(2, "slow2@example.com").close()
    assert is_heard()
    time_passes(AUTHDAEMOND_S)
    assert puppet.hear() == [Kind.TEMPORARY.value, b"2"]
    assert stage.log.count("ERR: authdaemon: no reply in time\n") == 4


def test_release_while_authdaemond_is_asked(start: Start) -> None:
    """The answer comes too late for anybody, and the number may be used again."""
    stage = start(max_daemons=1)
    stage.authdaemond.behaviour.delays["u@example.com"] = 30.0
    puppet = stage.login()
    puppet.admit(1)
    client = puppet.log_in(1)

    puppet.say(Kind.RELEASE, b"1")

    assert client.recv(1) == b""
    client.close()
    assert puppet.admit(1)[0] == ADMITTED
    stage.authdaemond.released.set()
    assert stage.starts_nothing()
    assert puppet.says_nothing()


def test_death_of_a_login_process_while_authdaemond_is_asked(start: Start) -> None:
    """Its clients' sockets are closed, its counts given back."""
    stage = start(max_daemons=1)
    stage.authdaemond.behaviour.delays["u@example.com"] = 30.0
    puppet = stage.login()
    puppet.admit(1)
    client = puppet.log_in(1)

    puppet.die()

    assert client.recv(1) == b""
    client.close()
    assert stage.login().admit(1)[0] == ADMITTED


def test_no_room_for_another_process(start: Start) -> None:
    """A worker that can't be started is a temporary failure; the next time it can."""
    stage = start()
    puppet = stage.login()
    puppet.admit(1)
    stage.fail_to_fork(fail=True)

    puppet.log_in(1).close()
    assert puppet.hear() == [Kind.TEMPORARY.value, b"1"]

    stage.fail_to_fork(fail=False)
    puppet.log_in(1).close()
    stage.worker()
    assert puppet.hear() == [Kind.TAKEN.value, b"1"]


def test_no_room_for_another_login_process(start: Start) -> None:
    """It is tried again."""
    stage = start()
    puppet = stage.login()
    stage.fail_to_fork(fail=True)
    puppet.die()
    stage.wait_for_log("ERR: cannot start: login process")

    stage.fail_to_fork(fail=False)

    assert stage.login().admit(1)[0] == ADMITTED


# --- Workers -------------------------------------------------------------------------------------


def await_place(puppet: Puppet, number: int) -> None:
    """Ask until there is room: what a worker says and what this says may overtake each other."""
    numbers = itertools.count(number)
    wait_until(lambda: puppet.admit(next(numbers))[0] == ADMITTED)


def let_in(stage: Stage, puppet: Puppet, number: int) -> None:
    assert puppet.admit(number)[0] == ADMITTED
    puppet.log_in(number).close()


def test_end_of_a_session_gives_its_place_back(start: Start) -> None:
    """Once, whatever the worker repeats or makes up."""
    stage = start(max_daemons=1)
    puppet = stage.login()
    let_in(stage, puppet, 1)
    worker = stage.worker()
    number = SessionRequest.of(worker.hear()).number
    puppet.hear()
    assert puppet.admit(2)[0] == REFUSED

    for said in (number, number, number + 1, 0):
        worker.say(Kind.ENDED, b"%d" % said)

    await_place(puppet, 3)
    assert puppet.admit(2000)[0] == REFUSED


def test_death_of_a_worker(start: Start) -> None:
    """Its sessions are counted no more; the next log-in gets a new one."""
    stage = start(max_daemons=2)
    puppet = stage.login()
    let_in(stage, puppet, 1)
    worker = stage.worker()
    worker.hear()
    puppet.hear()

    worker.die()
    stage.wait_for_log(f"ERR: worker {worker.pid} died: signal 9")

    let_in(stage, puppet, 2)
    assert stage.worker().pid != worker.pid
    assert puppet.hear() == [Kind.TAKEN.value, b"2"]
    assert puppet.admit(3)[0] == ADMITTED
    assert puppet.admit(4)[0] == REFUSED


def test_login_at_the_moment_of_a_worker_s_death(start: Start) -> None:
    """Nobody has noticed yet; the session goes to a new worker all the same."""
    stage = start()
    puppet = stage.login()
    let_in(stage, puppet, 1)
    worker = stage.worker()
    worker.hear()
    puppet.hear()
    assert puppet.admit(2)[0] == ADMITTED

    worker.control.shutdown(socket.SHUT_RDWR)
    puppet.log_in(2).close()

    assert SessionRequest.of(stage.worker().hear()).address == "u@example.com"
    assert puppet.hear() == [Kind.TAKEN.value, b"2"]


@pytest.mark.parametrize("fields", [[b"nonsense"], [Kind.ENDED.value], [Kind.ADMIT.value, b"1"]])
def test_malformed_message_of_a_worker(start: Start, fields: list[bytes]) -> None:
    """It is killed; login processes and their counts are as before."""
    stage = start(max_daemons=1)
    puppet = stage.login()
    let_in(stage, puppet, 1)
    worker = stage.worker()
    worker.hear()
    puppet.hear()

    channel.send(worker.control, fields)

    wait_until(lambda: not worker.is_alive())
    stage.wait_for_log(f"ERR: worker {worker.pid} died: signal 9")
    assert puppet.admit(2)[0] == ADMITTED


def test_idle_worker_is_let_go(start: Start) -> None:
    """But not while a session is on its way to it."""
    stage = start()
    puppet = stage.login()
    let_in(stage, puppet, 1)
    worker = stage.worker()
    number = SessionRequest.of(worker.hear()).number

    worker.say(Kind.IDLE, b"0")
    assert puppet.hear() == [Kind.TAKEN.value, b"1"]
    assert puppet.admit(2)[0] == ADMITTED  # master has heard IDLE by now
    assert worker.says_nothing()

    worker.say(Kind.ENDED, b"%d" % number)
    worker.say(Kind.IDLE, b"0")
    assert worker.hear() == [Kind.EXIT.value]
    let_in(stage, puppet, 3)
    assert stage.worker().pid != worker.pid


def test_one_session_per_worker(start: Start) -> None:
    """Each session has a process of its own, which is let go at its end."""
    stage = start(one_session_per_worker=1)
    puppet = stage.login()
    let_in(stage, puppet, 1)
    first = stage.worker()
    number = SessionRequest.of(first.hear()).number
    assert puppet.hear() == [Kind.TAKEN.value, b"1"]
    let_in(stage, puppet, 2)
    second = stage.worker()
    assert puppet.hear() == [Kind.TAKEN.value, b"2"]

    first.say(Kind.ENDED, b"%d" % number)

    assert first.hear() == [Kind.EXIT.value]
    assert SessionRequest.of(second.hear()).address == "u@example.com"
    assert second.says_nothing()


# --- Isolation, reload, stop ---------------------------------------------------------------------


@pytest.mark.slow
def test_isolated_login_process_is_replaced_when_it_is_busy(start: Start) -> None:
    """It serves one connection, so another has to listen; not more than that."""
    stage = start(is_isolated=1)
    first = stage.login()

    assert first.admit(1)[0] == ADMITTED

    second = stage.login()
    second.say(Kind.FULL, b"0")  # its client has not said who it is
    third = stage.login()
    second.say(Kind.FULL, b"0")
    assert second.admit(1)[0] == ADMITTED
    assert third.admit(1)[0] == ADMITTED
    stage.login()
    first.die()
    assert stage.starts_nothing()


def test_reload_drains_the_old_when_the_new_are_ready(start: Start) -> None:
    """Somebody accepts at every moment; connections of the old are still served."""
    stage = start(max_daemons=3)
    old = stage.login()
    assert old.admit(1)[0] == ADMITTED

    stage.reload(max_daemons=2)
    new = stage.next("login")
    assert old.admit(2)[0] == ADMITTED
    assert old.says_nothing()
    new.say(Kind.READY, b"0")

    assert old.hear() == [Kind.DRAIN.value]
    assert new.admit(1)[0] == REFUSED
    old.say(Kind.RELEASE, b"2")
    old.log_in(1).close()
    stage.worker()
    assert old.hear() == [Kind.TAKEN.value, b"1"]
    old.die()
    assert stage.starts_nothing()


def test_reload_of_broken_settings(start: Start) -> None:
    """A line for each reason; nothing else changes."""
    stage = start(max_daemons=1)
    puppet = stage.login()

    stage.reload(broken=True, max_daemons=2)
    stage.wait_for_log("ERR: the settings stay as they were")

    assert "ERR: imapd:3: PORT: expected a port\nERR: imapd:4: and more\n" in stage.log
    assert puppet.admit(1)[0] == ADMITTED
    assert puppet.admit(2)[0] == REFUSED
    assert stage.starts_nothing()


def test_reload_whose_login_processes_can_t_start(start: Start) -> None:
    """The old ones stay and are told nothing."""
    stage = start()
    old = stage.login()

    stage.reload()
    stage.next("login").die()

    stage.wait_for_log("ERR: the former settings and certificates stay in use")
    assert old.admit(1)[0] == ADMITTED
    assert old.says_nothing()


def test_death_of_a_login_process_that_was_not_ready(start: Start) -> None:
    """Beside one of its own generation that is, it is replaced: nothing is wrong with the files."""
    stage = start(login_processes=2)
    stage.login()

    stage.next("login").die()

    assert stage.login().admit(1)[0] == ADMITTED
    assert "stay in use" not in stage.log


@pytest.mark.slow
def test_stop(start: Start) -> None:
    """Everybody is told, questions to authdaemond are given up, and those who stay are killed."""
    stage = start(patience_s=0.3)
    stage.add_account("slow@example.com")
    stage.authdaemond.behaviour.delays["slow@example.com"] = 30.0
    puppet = stage.login()
    let_in(stage, puppet, 1)
    worker = stage.worker()
    worker.hear()
    puppet.hear()
    puppet.admit(2)
    client = puppet.log_in(2, "slow@example.com")
    puppet.admit(3)  # so that master has seen the log-in

    os.kill(stage.pid, signal.SIGTERM)
    assert puppet.hear() == [Kind.STOP.value]
    assert puppet.hear() == [Kind.TEMPORARY.value, b"2"]
    assert worker.hear() == [Kind.STOP.value]
    os.kill(stage.pid, signal.SIGHUP)
    os.kill(stage.pid, signal.SIGTERM)

    assert stage.wait() == 0
    assert client.recv(1) == b""
    client.close()
    assert not puppet.is_alive() and not worker.is_alive()
    assert stage.starts_nothing(0.0)


def test_end_of_master_closes_all_channels(start: Start) -> None:
    """By that the others know that they have to go."""
    stage = start()
    puppet = stage.login()
    let_in(stage, puppet, 1)
    worker = stage.worker()
    worker.hear()
    puppet.hear()

    os.kill(stage.pid, signal.SIGKILL)

    for one in (puppet, worker):
        assert select.select([one.control], [], [], 20)[0]
        with pytest.raises(ChannelClosed):
            channel.receive(one.control)
