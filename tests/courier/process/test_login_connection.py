"""courier.process.login_connection: what strangers and sessions can make a login process keep and do."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from courier.log import Peer
from courier.process import channel, login_connection
from courier.process.login import LoginProcess
from courier.process.login_connection import Connection
from courier.process.login_request import (
    Answer,
    Authenticate,
    LoginSteps,
    Pause,
    PreparedLogin,
    Stranger,
)
from courier.process.loop import Loop
from courier.process.message import MAX_UNREAD, Kind, LoginRequest, Question
from courier.process.request import Receive, ShuttingDown
from tests.support.open_files import open_before, open_now

#: Has a log-in talk, more than a client takes that does not read.
TALK = b"TALK\r\n"


class Process:
    """As much of a login process as a connection needs. A log-in takes lines; LOGIN is one that asks."""

    tls_from_start = False
    contexts = None
    is_stopping = False

    def __init__(self) -> None:
        self.loop = Loop()
        self.heard: list[bytes] = []
        self.ends: list[tuple[int, bool]] = []
        self.session_end = -1  # what master was sent last, with this
        self.request_: LoginRequest | None = None
        self.pause_s = 0.0

    def make_login(self, stranger: Stranger) -> LoginSteps:
        try:
            if not stranger.has_returned:
                yield b"hello\r\n"
            yield Pause(self.pause_s)
            unread = b""
            while data := (yield Receive(30.0)):
                self.heard.append(data)
                if data.startswith(TALK):
                    yield b"x" * 10_000_000
                line, end, rest = (unread + data).partition(b"LOGIN\r\n")
                unread = (line + end + rest)[-6:]
                if end:
                    unread = b""
                    yield Authenticate(b"imap", b"login", b"u", b"p", b"", rest)
        except ShuttingDown:
            yield b"bye\r\n"

    def request(self, request: LoginRequest | Question, descriptor: int | None = None) -> bool:
        assert isinstance(request, LoginRequest) and descriptor is not None
        self.request_, self.session_end = request, os.dup(descriptor)
        return True

    def ended(self, number: int, *, was_taken: bool) -> None:
        self.ends.append((number, was_taken))


class Stage:
    """A connection in a loop that runs only as long as the test waits."""

    def __init__(self, *, may_return: bool = True) -> None:
        self.process = Process()
        self.client, ours = socket.socketpair()
        ours.setblocking(False)
        self.client.settimeout(20)
        stranger = Stranger(Peer("::1", "1"), "::1", 143, may_return=may_return)
        self.connection = Connection(cast(LoginProcess, self.process), 7, stranger)
        self.connection.start(ours)

    def run_until(self, condition: Callable[[], bool]) -> None:
        loop = self.process.loop
        give_up = loop.later(30.0, loop.stop)

        def look() -> None:
            if condition():
                loop.stop()
            else:
                loop.later(0.001, look)

        loop._is_over = False
        look()
        loop.run()
        give_up.cancel()
        assert condition()

    def turn(self) -> None:
        self.run_until(lambda: True)
        turns = iter(range(3))
        self.run_until(lambda: next(turns, None) is None)

    def log_in(self) -> socket.socket:
        """Have the client let in; give the session's end."""
        self.client.sendall(b"LOGIN\r\n")
        return self.let_in()

    def let_in(self) -> socket.socket:
        self.run_until(lambda: self.process.session_end >= 0)
        session, self.process.session_end = socket.socket(fileno=self.process.session_end), -1
        session.settimeout(20)
        self.connection.answered(Answer(Kind.TAKEN))
        return session

    def give_back(self, session: socket.socket, unread: bytes = b"") -> None:
        """Return the client, as an honest worker does; it keeps no copy."""
        session.close()
        self.connection.take_back(unread)

    @property
    def relay_is_blocked(self) -> bool:
        relay = self.connection._relay
        return relay is not None and relay._inner is not None and relay._inner.is_blocked

    @property
    def passed_on(self) -> bytes:
        """What a session was given with its client, unread."""
        assert self.process.request_ is not None
        return self.process.request_.unread

    def collect(self, session: socket.socket, size: int) -> bytes:
        """Have a session read that much, while the loop runs."""
        session.setblocking(False)
        data = bytearray()

        def has_it() -> bool:
            try:
                data.extend(session.recv(65_536))
            except BlockingIOError:
                pass
            return len(data) >= size

        self.run_until(has_it)
        return bytes(data)

    @property
    def heard(self) -> bytes:
        return b"".join(self.process.heard)

    def read(self, size: int) -> bytes:
        """Have the client read that much, while the loop runs."""
        said = self.collect(self.client, size)
        self.client.settimeout(20)
        return said

    def close(self) -> None:
        self.client.close()
        if self.connection._relay is not None:
            self.connection.session_ended()  # as master tells of each
        if not self.process.ends:
            self.run_until(lambda: bool(self.process.ends))
        self.process.loop.close()


@pytest.fixture
def leaves_nothing() -> Iterator[None]:
    """Prove that a test leaves no descriptor behind."""
    before = open_before()
    yield
    assert open_now() == before


@pytest.fixture
def stage(leaves_nothing: None) -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def test_unread_input_is_bounded() -> None:
    """Less than 8 kB are kept of what is sent while nobody asks for it; none of it is lost."""
    stage = Stage()
    sent = bytes(range(256)) * 200
    stage.client.sendall(sent)
    stage.client.shutdown(socket.SHUT_WR)
    stage.process.pause_s = 0.02

    stage.run_until(lambda: bool(stage.process.ends))

    assert stage.heard == sent
    assert max(map(len, stage.process.heard)) < 8192
    assert stage.process.ends == [(7, False)]
    stage.close()


# --- Sessions that leave their client ---------------------------------------------------------------


def test_client_that_was_let_go_is_not_kept(leaves_nothing: None) -> None:
    """Where no session gives it back its own descriptor is passed on, and closed here."""
    stage = Stage(may_return=False)
    session = stage.log_in()

    assert stage.process.ends == [(7, True)]
    session.sendall(b"from the session")
    assert stage.client.recv(100) == b"hello\r\nfrom the session"
    assert stage.process.request_ is not None and not stage.process.request_.takes_back
    session.close()
    stage.close()


def test_log_in_anew(stage: Stage) -> None:
    """Without a greeting; the client is relayed to each session in turn, and its place kept."""
    for _ in range(3):
        session = stage.log_in()
        assert stage.process.request_ is not None and stage.process.request_.takes_back
        stage.client.sendall(b"to the session")
        stage.turn()
        assert session.recv(100) == b"to the session"
        session.sendall(b"to the client")

        stage.give_back(session)

        stage.turn()
    assert stage.client.recv(100) == b"hello\r\n" + b"to the client" * 3
    stage.client.close()
    stage.run_until(lambda: bool(stage.process.ends))
    assert stage.process.ends == [(7, False)]


def test_everything_comes_in_its_order(stage: Stage) -> None:
    """What the session has read, what it has not, what could not be sent to it, what is still to come:
    for the log-in, in pieces as it asks for them, and from its end on for the next session."""
    session = stage.log_in()
    unread = b"".join(b"u%06d\r\n" % number for number in range(MAX_UNREAD // 9))
    lines = [b"%07d\r\n" % number for number in range(200_000)]
    before, after = b"".join(lines[:150_000]), b"".join(lines[150_000:])
    writer = threading.Thread(target=stage.client.sendall, args=(before + b"LOGIN\r\n" + after,))
    writer.start()
    stage.run_until(lambda: stage.relay_is_blocked)

    stage.give_back(session, unread)

    following = stage.let_in()
    heard, _, rest = stage.heard.removeprefix(b"LOGIN\r\n").partition(b"LOGIN\r\n")
    assert max(map(len, stage.process.heard)) < 8192
    assert heard == unread + before
    assert stage.passed_on.startswith(rest)
    assert stage.passed_on + stage.collect(following, len(after) - len(stage.passed_on)) == after
    writer.join()
    following.close()


def test_what_one_session_leaves_another_may_leave_too(stage: Stage) -> None:
    """However often a session comes that reads nothing, nothing is lost, doubled or out of order."""
    sent = b"".join(b"%05d\r\n" % number for number in range(60_000))
    session = stage.log_in()
    writer = threading.Thread(target=stage.client.sendall, args=(sent,))
    writer.start()
    stage.run_until(lambda: stage.relay_is_blocked)
    stage.give_back(session, b"LOGIN\r\n")
    for _ in range(5):
        session = stage.let_in()
        stage.turn()
        stage.give_back(session, b"LOGIN\r\n" + stage.passed_on)

    session = stage.let_in()

    assert stage.passed_on + stage.collect(session, len(sent) - len(stage.passed_on)) == sent
    writer.join()
    session.close()


def test_session_that_makes_up_what_its_client_has_sent(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    """It lets its client in again and again, each time with more: that ends before there is much of it."""
    forged = b"LOGIN\r\n" + b"x" * (MAX_UNREAD - 7)
    session = stage.log_in()
    for _ in range(1000):
        stage.give_back(session, forged)
        stage.turn()
        if stage.process.ends:
            break
        session = stage.let_in()

    assert stage.process.ends == [(7, False)]
    assert capfd.readouterr().err == "WARN: a session returned what is not its client's\n"


def test_others_have_their_turn(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a log-in uses much that a session has left, each piece of which takes long."""
    monkeypatch.setattr(login_connection, "_TURN_S", -1.0)
    session = stage.log_in()
    sent = b"x" * 100_000
    stage.client.sendall(sent + b"LOGIN\r\n")
    stage.client.shutdown(socket.SHUT_WR)  # which comes behind it
    stage.turn()
    stage.process.heard.clear()
    stage.give_back(session)
    others = 0

    def other() -> None:
        nonlocal others
        others += 1
        stage.process.loop.soon(other)

    other()
    following = stage.let_in()

    assert len(stage.process.heard) <= others + 1
    assert stage.heard == sent + b"LOGIN\r\n"
    stage.turn()
    assert following.recv(1) == b""
    following.close()


def test_what_a_log_in_has_not_asked_for(stage: Stage) -> None:
    """A session is given it by the relay, and not at once with its client: of TLS that may be much, and
    nobody gives back so much at once."""
    stage.client.sendall(TALK + b"LOGIN\r\nmore")
    stage.run_until(lambda: stage.heard.startswith(TALK))
    stage.client.sendall(b"later")
    stage.turn()
    stage.read(10_000_007)

    session = stage.let_in()

    assert stage.passed_on == b"more"
    stage.client.sendall(b", and last")
    assert stage.collect(session, 15) == b"later, and last"
    session.close()


def test_last_words_of_a_session(stage: Stage) -> None:
    """Its client is told all of them before a log-in begins, however late it reads."""
    words = b"".join(b"%06d\r\n" % number for number in range(100_000))
    session = stage.log_in()
    stage.client.sendall(b"LOGIN\r\n")
    writer = threading.Thread(target=session.sendall, args=(words,))
    writer.start()
    stage.run_until(lambda: stage.connection._client.is_blocked)  # type: ignore[union-attr]
    said = stage.read(len(b"hello\r\n") + len(words) - 200_000)
    writer.join()  # the rest is in the pair

    stage.give_back(session)

    assert len(stage.process.heard) == 1
    said += stage.read(len(b"hello\r\n") + len(words) - len(said))
    assert said == b"hello\r\n" + words
    stage.let_in().close()


def test_goodbye_of_a_session_that_hears_no_more(stage: Stage) -> None:
    """Its client is told, though what it has just said could not be passed on."""
    session = stage.log_in()
    stage.client.sendall(b"a NOOP\r\n")
    stage.turn()  # and is never read
    stage.client.sendall(b"b NOOP\r\n")
    session.sendall(b"bye\r\n")
    session.close()
    stage.connection.session_ended()

    stage.run_until(lambda: bool(stage.process.ends))

    assert stage.client.recv(100) == b"hello\r\nbye\r\n"
    assert stage.process.ends == [(7, False)]


def test_end_of_a_session(stage: Stage) -> None:
    """Its client is told all that it said, however late it reads, and then the end; its place is told
    to be free when all that is over."""
    words = b"".join(b"%06d\r\n" % number for number in range(100_000))
    session = stage.log_in()
    writer = threading.Thread(target=session.sendall, args=(words,))
    writer.start()
    stage.run_until(lambda: stage.connection._client.is_blocked)  # type: ignore[union-attr]
    said = stage.read(len(b"hello\r\n") + len(words) - 200_000)
    writer.join()  # the rest is in the pair
    session.close()

    stage.connection.session_ended()

    assert stage.process.ends == []
    said += stage.read(len(b"hello\r\n") + len(words) - len(said))
    assert said == b"hello\r\n" + words
    stage.run_until(lambda: bool(stage.process.ends))
    assert stage.process.ends == [(7, False)]
    assert stage.client.recv(1) == b""


@pytest.mark.parametrize("half_way", [False, True], ids=["at once", "half way"])
def test_client_that_goes_meanwhile(stage: Stage, half_way: bool) -> None:
    """Its place is told to be free, once."""
    session = stage.log_in()
    if half_way:
        session.sendall(b"x" * 200_000)
    stage.client.close()

    stage.give_back(session)

    stage.run_until(lambda: bool(stage.process.ends))
    stage.turn()
    assert stage.process.ends == [(7, False)]


def test_client_that_has_said_all(stage: Stage) -> None:
    """What it said before that is the log-in's; then it has gone."""
    session = stage.log_in()
    stage.client.sendall(b"some more")
    stage.client.shutdown(socket.SHUT_WR)
    stage.run_until(lambda: stage.connection._client.at_end)  # type: ignore[union-attr]

    stage.give_back(session)

    stage.run_until(lambda: bool(stage.process.ends))
    assert stage.heard == b"LOGIN\r\nsome more"
    assert stage.process.ends == [(7, False)]


def test_stop_meanwhile(stage: Stage) -> None:
    """A log-in that begins while the server stops says goodbye."""
    session = stage.log_in()
    session.sendall(b"left\r\n")
    stage.process.is_stopping = True
    stage.connection.stop()

    stage.give_back(session)

    stage.run_until(lambda: bool(stage.process.ends))
    assert stage.read(18) == b"hello\r\nleft\r\nbye\r\n"


def test_time_out_of_the_second_log_in(stage: Stage) -> None:
    """It has one, as the first had."""
    session = stage.log_in()
    stage.give_back(session)
    stage.turn()
    assert stage.connection._timer is not None


# --- Hostile sessions -----------------------------------------------------------------------------


@pytest.mark.parametrize("may_return", [True, False])
def test_session_that_has_ended_and_keeps_its_end(leaves_nothing: None, may_return: bool) -> None:
    """Its client's connection is closed, and told to be: nobody relays for a session that does not count."""
    stage = Stage()
    stage.client.sendall(b"LOGIN\r\n")
    stage.run_until(lambda: stage.process.session_end >= 0)
    stage.connection._stranger.may_return = may_return  # if not, it is relayed for TLS alone
    session = stage.let_in()
    session.sendall(b"last words")

    stage.connection.session_ended()

    stage.run_until(lambda: bool(stage.process.ends))
    assert stage.process.ends == [(7, False)]
    assert stage.client.recv(100) == b"hello\r\nlast words"
    assert stage.client.recv(100) == session.recv(100) == b""
    session.close()
    stage.close()


def test_session_that_does_not_read_and_whose_client_has_gone(stage: Stage) -> None:
    """What it was still to be given is not kept for it."""
    session = stage.log_in()
    writer = threading.Thread(target=stage.client.sendall, args=(b"x" * 250_000,))
    writer.start()
    stage.run_until(lambda: stage.connection._relay._inner.unsent > 0)  # type: ignore[union-attr]
    writer.join()

    stage.connection._client.abort()  # type: ignore[union-attr]

    assert stage.process.ends == [(7, True)]
    with pytest.raises(BrokenPipeError):
        session.sendall(b"x")
    session.close()


def test_session_that_keeps_a_copy(stage: Stage) -> None:
    """It hears and says nothing more, though its socket waits now: the login process never does."""
    session = stage.log_in()
    copy = session.dup()
    copy.setblocking(True)

    stage.give_back(session)

    stage.client.sendall(b"a secret LOGIN\r\n")
    stage.let_in().close()
    assert copy.recv(100) == b""
    with pytest.raises(BrokenPipeError):
        copy.sendall(b"forged")
    assert stage.client.recv(100) == b"hello\r\n"
    copy.close()


def test_session_that_goes_on_talking(stage: Stage) -> None:
    """No more of it is passed on than was there when it left."""
    session = stage.log_in()
    copy = session.dup()
    is_cut_off = threading.Event()

    def flood() -> None:
        try:
            while True:
                copy.sendall(b"x" * 65_536)
        except BrokenPipeError:
            is_cut_off.set()

    flooding = threading.Thread(target=flood)
    flooding.start()
    stage.client.setblocking(False)
    stage.client.sendall(b"LOGIN\r\n")
    heard = bytearray()

    def read() -> bool:
        try:
            heard.extend(stage.client.recv(1 << 20))
        except BlockingIOError:
            pass
        return len(heard) > 1_000_000

    stage.run_until(read)
    stage.give_back(session)
    stage.run_until(lambda: read() and stage.process.session_end >= 0)

    assert is_cut_off.wait(20)
    flooding.join()
    stage.let_in().close()
    copy.close()


def test_session_that_reads_what_it_has_given_back(stage: Stage) -> None:
    """That is lost for its own user; what comes later is not its to read."""
    session = stage.log_in()
    stage.client.sendall(b"pipelined")
    stage.turn()
    assert session.recv(100) == b"pipelined"

    stage.give_back(session, b"")

    stage.client.sendall(b"LOGIN\r\n")
    stage.let_in().close()
    assert stage.heard == b"LOGIN\r\nLOGIN\r\n"


# --- The login process ------------------------------------------------------------------------------


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Give back what a process's main loop takes."""
    handler, wakeup = signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)
    yield
    signal.signal(signal.SIGTERM, handler)
    signal.set_wakeup_fd(wakeup)


def test_client_that_comes_back_too_late(leaves_nothing: None, own_signals: None) -> None:
    """Its connection has gone: master is told that the place is free. So when its session has ended."""
    control, master = channel.pair()
    loop = Loop()

    def never(stranger: Stranger) -> LoginSteps:
        raise AssertionError

    prepared = PreparedLogin(never, None, tls_from_start=False)
    process = LoginProcess(loop, control, [], prepared, is_isolated=False)
    channel.send(master, [Kind.RESUME.value, b"9", b"LOGIN\r\n"])
    channel.send(master, [Kind.LEFT.value, b"10"])
    channel.send(master, [Kind.DRAIN.value])

    process.serve()

    said = [channel.receive(master) for _ in range(3)]
    release = Kind.RELEASE.value
    assert said == [
        ([Kind.READY.value, b"0"], None),
        ([release, b"9"], None),
        ([release, b"10"], None),
    ]
    loop.close()
    for end in (control, master):
        end.close()
