"""imapd.login: the time there is to log in. What clients see of the rest is in tests/daemons."""

from __future__ import annotations

import time

import pytest

from courier import log
from courier.log import Peer
from courier.process.login_request import Answer, Authenticate, Pause, StartTls, Stranger
from courier.process.message import Kind
from courier.process.request import Receive, Wake
from imapd.commands.table import COMMANDS, EARLIER
from imapd.login import LATER, LOGIN_S, Login
from imapd.settings import Settings


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def login(*, has_tls: bool = False) -> Login:
    return Login(Settings(starttls=True), Stranger(Peer("::1", "1"), "::1", 143), has_tls=has_tls)


def test_silent_client(clock: Clock) -> None:
    """After 60 seconds it is told goodbye."""
    steps = login().run()
    assert next(steps).startswith(b"* OK ")  # type: ignore[union-attr]
    assert next(steps) == Receive(LOGIN_S)

    said = steps.send(Wake.TIMEOUT)

    assert said == b"* BYE Disconnected for inactivity.\r\n"
    with pytest.raises(StopIteration):
        next(steps)


def test_client_that_comes_back(clock: Clock) -> None:
    """From its session: it is not greeted, and has 60 seconds and ten violations as at first."""
    stranger = Stranger(Peer("::1", "1"), "::1", 143, may_return=True, has_returned=True)
    steps = Login(Settings(), stranger, has_tls=False).run()
    assert next(steps) == Receive(LOGIN_S)
    clock.now += 10.0
    for number in range(9):
        said = steps.send(b"%d SELECT INBOX\r\n" % number)
        assert said == b"%d BAD Error in IMAP command received by server.\r\n" % number
        assert next(steps) == Receive(LOGIN_S - 10.0)

    asked = steps.send(b"a LOGIN u pw\r\n")

    assert isinstance(asked, Authenticate)
    assert b" UNAUTHENTICATE] " in asked.greeting


def test_log_in_that_nobody_can_come_back_to() -> None:
    """As in imaplogin: whatever the setting says, its session does not offer it (RFC 8437 3)."""
    stranger = Stranger(Peer("::1", "1"), "::1", 143)
    steps = Login(Settings(unauthenticate=True), stranger, has_tls=False).run()
    next(steps)
    next(steps)

    asked = steps.send(b"a LOGIN u pw\r\n")

    assert isinstance(asked, Authenticate)
    assert b"UNAUTHENTICATE" not in asked.greeting


def test_client_that_sends_an_octet_now_and_then(clock: Clock) -> None:
    """The 60 seconds are counted from the connection on, not from the last octet."""
    steps = login().run()
    next(steps)
    waited = next(steps)
    for second in range(1, 60):
        clock.now += 1.0
        waited = steps.send(b"x")
        assert waited == Receive(LOGIN_S - second)
    clock.now += 1.0
    assert steps.send(b"x") == Receive(0.0)


@pytest.mark.parametrize(
    "sent",
    [
        b"a LOGIN " + b"x" * 20_000,
        b"a LOGIN " + b"x" * 20_000 + b"\r\n",
        b"a LOGIN {9000}\r\n",
        b"a LOGIN {9000+}\r\n" + b"x" * 9000 + b" y\r\n",
        b"a LOGIN " + b"{1000+}\r\n" + b"x" * 1000 + b" {8192+}\r\n" * 2 + b"x" * 8000,
        b"a LOGIN" + b" {3+}\r\nabc" * 2000 + b"\r\n",
    ],
)
def test_more_than_a_log_in_needs(clock: Clock, sent: bytes) -> None:
    """The connection ends once 16 KiB of a command, or 8 KiB of a literal, are passed."""
    steps = login().run()
    next(steps)
    next(steps)
    said = steps.send(sent)
    if isinstance(said, Receive):  # the rest of what can't be kept is passed over
        said = steps.send(b"x" * 9000 + b"\r\n")

    assert said == b"* BYE [ALERT] IMAP command too long.\r\n"
    with pytest.raises(StopIteration):
        next(steps)


def test_wrong_password_at_the_last_moment(clock: Clock) -> None:
    """The pause before the answer is no longer than the time that is left."""
    steps = login().run()
    next(steps)
    next(steps)
    clock.now += 58.0
    asked = steps.send(b"a LOGIN u wrong\r\n")
    assert isinstance(asked, Authenticate)
    assert steps.send(Answer(Kind.REJECTED)) == Pause(2.0)
    assert next(steps) == b"a NO [AUTHENTICATIONFAILED] Login failed.\r\n"


@pytest.mark.parametrize(
    ("took_s", "told", "pause_s"),
    [(0.5, "1", 4.5), (0.25, "", 4.75), (6.0, "1", 4.0), (1.0, "3", 14.0)],
)
def test_time_of_the_answer(clock: Clock, took_s: float, told: str, pause_s: float) -> None:
    """At five seconds or a multiple, whatever the check has taken, or at as many as master says."""
    steps = login().run()
    next(steps)
    next(steps)
    for _ in range(2):  # each attempt is its own
        assert isinstance(steps.send(b"a LOGIN u wrong\r\n"), Authenticate)
        clock.now += took_s
        assert steps.send(Answer(Kind.REJECTED, told)) == Pause(pause_s)
        assert next(steps) == b"a NO [AUTHENTICATIONFAILED] Login failed.\r\n"
        next(steps)


def test_attempt_that_nobody_was_asked_about(clock: Clock) -> None:
    steps = login().run()
    next(steps)
    next(steps)
    assert steps.send(b"a AUTHENTICATE FOO\r\n") == Pause(5.0)


def test_handshake_has_what_time_is_left(clock: Clock) -> None:
    """STARTTLS gives no second minute."""
    steps = login(has_tls=True).run()
    next(steps)
    next(steps)
    clock.now += 45.0
    assert steps.send(b"a STARTTLS\r\n") == b"a OK Begin SSL/TLS negotiation now.\r\n"
    assert next(steps) == StartTls(15.0)


def answers(*lines: bytes, **settings: object) -> list[bytes]:
    """Log in so, with nobody who checks a password; give what was said after the greeting."""
    steps = Login(
        Settings(**settings),  # type: ignore[arg-type]
        Stranger(Peer("::1", "1"), "::1", 143),
        has_tls=False,
    ).run()
    next(steps)
    waiting = list(lines)
    said: list[bytes] = []
    answer: object = None
    try:
        while True:
            step = steps.send(answer)
            answer = None
            if isinstance(step, bytes):
                said.append(step)
            elif isinstance(step, Receive):
                answer = waiting.pop(0) + b"\r\n" if waiting else b""
            elif isinstance(step, Authenticate):
                answer = Answer(Kind.TEMPORARY)
    except StopIteration:
        return said


def test_temporary_failure() -> None:
    """A client is told that its password may be right (RFC 5530 3), then Courier's farewell."""
    said = answers(b"a LOGIN u pw")

    assert said == [
        b"a NO [UNAVAILABLE] Temporary problem, please try again later\r\n",
        b"* BYE Temporary problem, please try again later\r\n",
    ]
    assert answers(b"a LOGIN u pw", extensions=False) == said[1:]


@pytest.mark.parametrize("response", [b"*", b"!", b"AAA=AAAA", b"=AAA", b"AAA"])
def test_exchange_that_is_cancelled_or_no_base64(response: bytes) -> None:
    """RFC 9051 6.2.2: BAD, for the initial response, too."""
    assert answers(b"a AUTHENTICATE PLAIN", response) == [b"+ \r\n", b"a BAD Login failed.\r\n"]
    if response != b"*":
        assert answers(b"a AUTHENTICATE PLAIN " + response)[-1].startswith(b"a BAD ")


def test_initial_response_of_a_mechanism_without_one() -> None:
    """RFC 9051 6.2.2: BAD."""
    assert answers(b"a AUTHENTICATE CRAM-MD5 AAAA") == [b"a BAD Login failed.\r\n"]


def test_mechanism_that_is_not_known() -> None:
    """RFC 9051 6.2.2: NO."""
    assert answers(b"a AUTHENTICATE FOO") == [b"a NO [AUTHENTICATIONFAILED] Login failed.\r\n"]


def test_id() -> None:
    """RFC 2971 3: in any state; where IMAP_ID_FIELDS is not set there is no such command."""
    said = answers(b'a ID ("name" "x")', b"b ID NIL", b"c ID", id_fields=0)

    assert said[0] == b'* ID ("name" "Courier-IMAP" "vendor" "pycourier")\r\n'
    assert said[1] == b"a OK ID completed\r\n"
    assert said[3] == b"b OK ID completed\r\n"
    assert said[4].startswith(b"c BAD ")
    assert answers(b"a ID NIL")[0].startswith(b"a BAD ")


@pytest.mark.parametrize(
    "command", ["SELECT INBOX", "NAMESPACE", "ENABLE X", "IDLE", "FETCH 1 FLAGS", "UID FETCH 1 UID"]
)
def test_command_of_later(command: str) -> None:
    assert answers(f"a {command}".encode())[0].startswith(b"a BAD ")


@pytest.mark.parametrize("is_lenient", [True, False])
@pytest.mark.parametrize("password", [b"p(w)", b"[x]", b"100%*", b"a(b"])
def test_password_without_quotes(clock: Clock, password: bytes, is_lenient: bool) -> None:
    """IMAP_CLIENT_WORKAROUNDS: Debian's Courier takes it. (`[x]` is an astring anyway.)"""
    settings = Settings(client_workarounds=is_lenient)
    steps = Login(settings, Stranger(Peer("::1", "1"), "::1", 143), has_tls=False).run()
    next(steps), next(steps)

    said = steps.send(b"a LOGIN u(1) " + password + b"\r\n")

    if is_lenient:
        assert isinstance(said, Authenticate)
        assert (said.first, said.second) == (b"u(1)", password)
    else:
        assert said == b"a BAD Error in IMAP command received by server.\r\n"


@pytest.mark.parametrize(
    ("level", "lines"),
    [
        (0, []),
        (1, ["command=NOOP", "command=FOO", "command=LOGIN", "username=u.x"]),
        (2, ["command=NOOP", "command=FOO", "command=LOGIN", "username=u.x", "password=p..w"]),
    ],
)
def test_debug_login(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, level: int, lines: list[str]
) -> None:
    """Courier's lines; passwords at level 2 alone, and nothing in what was typed forges a line."""
    logged: list[str] = []
    monkeypatch.setattr(log, "write", logged.append)
    settings = Settings(debug_login=level)
    steps = Login(settings, Stranger(Peer("::1", "1"), "::1", 143), has_tls=False).run()
    next(steps), next(steps)
    steps.send(b'a NOOP\r\nb FOO x\r\nc LOGIN "u,x" {4+}\r\np\n\tw\r\n')
    while not isinstance(next(steps), Authenticate | Pause):
        pass

    debug = [line for line in logged if line.startswith("DEBUG: LOGIN")]
    assert debug == [f"DEBUG: LOGIN: ip=[::1], {line}" for line in lines]


# -- violations --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [*sorted(LATER), "LOGIN", "AUTHENTICATE", "ID", "STARTTLS x"])
def test_commands_that_are_none_yet(command: str) -> None:
    """BAD each time (RFC 9051 3), and however often: whoever knows them is a client."""
    for said in answers(*(f"{number} {command}".encode() for number in range(25))):
        assert said.split()[1] == b"BAD"


def test_tenth_unknown_command_in_a_row() -> None:
    """It ends the connection (Courier's number and text)."""
    *said, last = answers(*[b"a NONSENSE"] * 10)

    assert {one.split()[1] for one in said} == {b"BAD"}
    assert last == b"* BYE [ALERT] Fatal error: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS: \r\n"


def test_commands_of_later_states_are_known() -> None:
    """All that a session knows."""
    assert {name.split()[0] for name in COMMANDS} <= LATER | {"CAPABILITY", "ID", "LOGOUT", "NOOP"}
    assert not LATER & EARLIER
