from __future__ import annotations

import errno
import gc
import itertools
import os
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from courier.process.request import ClientGone, Receive, ShuttingDown, Wake, Work
from imapd import changes
from imapd.commands import table
from imapd.completion import Ok
from imapd.connection import INACTIVITY_S, LITERAL_S
from imapd.wire.reader import MAX_COMMAND, MAX_LITERAL
from tests.imapd.conftest import Drive, Log
from tests.imapd.driver import GREETING, Driven
from tests.imapd.responses import Response, read
from tests.support.maildirs import deliver, make_folder

pytestmark = pytest.mark.usefixtures("logged")

PLAIN = b"Subject: hello\n\nbody\n"
NOOP = b"zz NOOP\r\n"
NOOP_OK = b"zz OK NOOP completed\r\n"


def tagged(responses: list[Response]) -> list[bytes]:
    return [response.tag for response in responses if response.is_tagged]


def byes(responses: list[Response]) -> int:
    return sum(response.name == "BYE" for response in responses)


def leftovers(maildir: Path) -> list[Path]:
    """What lies in any tmp/ below the maildir."""
    return [path for folder in maildir.rglob("tmp") for path in folder.iterdir()]


# -- life --------------------------------------------------------------------------------------


def test_input_that_came_with_the_log_in(maildir: Path) -> None:
    """It is served, behind the greeting (Courier loses it)."""
    driven = Driven(maildir, unread=b"a NOOP\r\nb NO", started=False)

    assert driven.run() == GREETING + b"a OK NOOP completed\r\n"
    assert driven.send(b"OP\r\n") == b"b OK NOOP completed\r\n"


def test_session_that_has_ended(maildir: Path) -> None:
    """Nothing of it stays until Python looks for garbage: neither its objects nor its folder."""
    gc.collect()
    gc.disable()
    try:
        driven = Driven(maildir)
        driven.send(b"a SELECT INBOX\r\nb NOOP\r\nc LOGOUT\r\n")
        parts = [driven.session, driven.session.selected, driven.session.selected.folder]
        left = [weakref.ref(part) for part in parts]
        Driven.made.remove(driven)

        del parts, driven

        assert [one() for one in left] == [None] * 3
    finally:
        gc.enable()


def test_commands_in_one_packet(driven: Driven) -> None:
    """Each is answered, in order, by one completion."""
    responses = read(driven.send(b"".join(b"%d NOOP\r\n" % number for number in range(3000))))

    assert tagged(responses) == [b"%d" % number for number in range(3000)]


def test_log_out(driven: Driven, logged: Log) -> None:
    """BYE, then OK; what the client sent behind it is not served."""
    sent = driven.send(b"a LOGOUT\r\nb NOOP\r\n")

    assert sent == b"* BYE Courier-IMAP server shutting down\r\na OK LOGOUT completed\r\n"
    assert driven.ended
    assert logged.lines[-1].startswith("INFO: LOGOUT, user=user, ip=[192.0.2.1], port=[40000], ")


def test_client_that_hangs_up(driven: Driven, logged: Log) -> None:
    """Nothing is said to nobody; the end is logged with all octets counted."""
    driven.send(b"a NOOP\r\nb NO")

    assert driven.close() == b""
    assert f"rcvd=12, sent={len(driven.output)}," in logged.lines[-1]
    assert logged.lines[-1].startswith("INFO: DISCONNECTED")


def test_half_hour_without_a_command(driven: Driven, logged: Log) -> None:
    """BYE, and the log says why."""
    assert isinstance(driven.requests[-1], Receive)
    assert driven.requests[-1].timeout_s == INACTIVITY_S == 1800

    assert driven.send(Wake.TIMEOUT) == b"* BYE Disconnected for inactivity.\r\n"
    assert driven.ended
    assert logged.lines[-1].startswith("INFO: TIMEOUT")


@pytest.mark.parametrize("command", [b"a SELECT {5}\r\n", b"a APPEND INBOX {5}\r\n"])
def test_minute_without_an_octet_of_a_literal(
    driven: Driven, maildir: Path, command: bytes
) -> None:
    """BYE too, and nothing is left of the message."""
    driven.send(command, b"he")
    assert isinstance(driven.requests[-1], Receive)
    assert driven.requests[-1].timeout_s == LITERAL_S == 60

    assert driven.send(Wake.TIMEOUT) == b"* BYE Disconnected for inactivity.\r\n"
    assert leftovers(maildir) == []


# -- violations --------------------------------------------------------------------------------


def test_tenth_violation_in_a_row(driven: Driven) -> None:
    """Nine are answered, the tenth ends the session (Courier's number and text)."""
    for number in range(9):
        assert driven.ask(f"{number} NONSENSE")[0].name == "BAD"

    assert driven.send(b"9 NONSENSE\r\n") == (
        b"* BYE [ALERT] Fatal error: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS: \r\n"
    )
    assert driven.ended


@pytest.mark.parametrize("command", ["NOOP", "SELECT INBOX.none", "SELECT", "CREATE INBOX"])
def test_violations_with_another_command_between(driven: Driven, command: str) -> None:
    """Any command that was understood, even one refused, starts the count again."""
    for _ in range(3):
        for number in range(9):
            driven.ask(f"{number} NONSENSE")
        driven.ask(f"x {command}")

    assert driven.send(NOOP) == NOOP_OK


@pytest.mark.parametrize(
    "command", ["FETCH 1 FLAGS", "UID COPY 1 INBOX", "CLOSE", "LOGIN a b", "AUTHENTICATE PLAIN"]
)
def test_commands_of_another_state(driven: Driven, command: str) -> None:
    """BAD each time (RFC 9051 3), and however often: whoever knows them is a client."""
    for number in range(25):
        assert driven.ask(f"{number} {command}")[0].name == "BAD"

    assert driven.send(NOOP) == NOOP_OK


@pytest.mark.parametrize(
    ("line", "tag"),
    [
        (b"\r\n", b"*"),
        (b"a\r\n", b"a"),
        (b"a \r\n", b"a"),
        (b"* NOOP\r\n", b"*"),
        (b"\x00 NOOP\r\n", b"*"),
        (b"a\xff NOOP\r\n", b"*"),
        (b"x" * 129 + b" NOOP\r\n", b"*"),
        (b"a NOOP\x00\r\n", b"a"),
        (b"a \xc3\xa9\r\n", b"a"),
        (b"{3+}\r\na b NOOP\r\n", b"*"),
        (b"a UID\r\n", b"a"),
        (b"a FETCH 1 UID\r\n", b"a"),  # nothing is selected
    ],
)
def test_what_is_no_command(driven: Driven, line: bytes, tag: bytes) -> None:
    """BAD under its tag, or untagged if that can't be repeated; the next command is served."""
    sent = driven.send(line + NOOP)

    assert sent == tag + b" BAD Error in IMAP command received by server.\r\n" + NOOP_OK


# -- literals ----------------------------------------------------------------------------------

COMMANDS = [
    b"SELECT %b",
    b"EXAMINE %b",
    b"CREATE %b",
    b"DELETE %b",
    b"RENAME %b INBOX.x",
    b"RENAME INBOX.x %b",
    b"SUBSCRIBE %b",
    b"LIST %b *",
    b'LIST "" %b',
    b"LSUB %b %b",
    b"STATUS %b (MESSAGES)",
    b"STATUS INBOX (%b)",
    b"APPEND %b {1+}\r\nx",
    b"APPEND INBOX (%b) {1+}\r\nx",
    b"APPEND INBOX %b {1+}\r\nx",
    b"APPEND INBOX %b",
    b"APPEND INBOX {1+}\r\nx%b",
    b"SEARCH SUBJECT %b",
    b"SEARCH CHARSET %b ALL",
    b"SEARCH HEADER %b %b",
    b"FETCH 1 BODY.PEEK[HEADER.FIELDS (%b)]",
    b"FETCH %b FLAGS",
    b"STORE 1 FLAGS (%b)",
    b"COPY 1 %b",
    b"UID MOVE %b %b",
    b"ID (%b %b)",
    b"ENABLE %b",
    b"NOOP %b",
    b"IDLE %b",
    b"LOGOUT %b",
    b"NONSENSE %b",
    b"UID %b",
    b"%b",
]
CONTENTS = [b"", b"INBOX", b"x LOGOUT\r\n", b"{5}", b"x {3+}\r\n", b"\x00\xff", b"x" * 70_000]


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: repr(content[:12]))
@pytest.mark.parametrize("command", COMMANDS)
def test_literal_that_the_client_just_sends(maildir: Path, command: bytes, content: bytes) -> None:
    """In the place of any argument, right or wrong, it never costs the next command."""
    deliver(maildir, PLAIN, number=1)
    driven = Driven(maildir)
    driven.send(b"s SELECT INBOX\r\n")
    literal = b"{%d+}\r\n%b" % (len(content), content)
    places = command.count(b"%b")

    responses = read(driven.send(b"a " + command % ((literal,) * places) + b"\r\n" + NOOP))

    assert tagged(responses) == [b"a", b"zz"]
    assert leftovers(maildir) == []


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: repr(content[:12]))
@pytest.mark.parametrize("command", COMMANDS)
def test_literal_that_the_client_waits_with(maildir: Path, command: bytes, content: bytes) -> None:
    """It is sent when it is asked for, and never costs the next command."""
    deliver(maildir, PLAIN, number=1)
    driven = Driven(maildir)
    driven.send(b"s SELECT INBOX\r\n")
    first, *others = (b"a " + command).split(b"%b")
    sent = driven.send(first + b"{%d}\r\n" % len(content))
    asked = 0

    for number, piece in enumerate(others):
        if not sent.endswith(b"+ OK\r\n"):
            break
        asked += 1
        is_last = number == len(others) - 1
        end = b"\r\n" if is_last else b"{%d}\r\n" % len(content)
        sent += driven.send(content + piece + end)
    sent += driven.send(NOOP)

    responses = read(sent)
    assert tagged(responses) == [b"a", b"zz"]
    assert sum(response.tag == b"+" for response in responses) == asked
    assert leftovers(maildir) == []


def test_literal_is_not_asked_for_in_vain(driven: Driven) -> None:
    """What is refused whatever it holds is refused before the client sends it."""
    for command in (
        b"a NONSENSE {5}",
        b"a SELECT {65537}",
        b"a FETCH {5}",
        b"a APPEND INBOX x {5}",
    ):
        assert b"+" not in driven.send(command + b"\r\n").split(b" ", 1)[0]
    assert driven.send(NOOP) == NOOP_OK


@pytest.mark.parametrize("size", [MAX_LITERAL, MAX_LITERAL + 1])
def test_largest_literal(driven: Driven, size: int) -> None:
    """An argument of the limit is read; of one octet more it is refused, and not asked for."""
    sent = driven.send(b"a STATUS {%d}\r\n" % size)

    if size == MAX_LITERAL:
        assert sent == b"+ OK\r\n"
        sent = driven.send(b"x" * size + b" (MESSAGES)\r\n")
        assert sent == b"a NO [NONEXISTENT] Mailbox does not exist, or must be subscribed to.\r\n"
    else:
        assert sent == b"a BAD IMAP command too long.\r\n"
    assert driven.send(NOOP) == NOOP_OK


@pytest.mark.parametrize("size", [2**30 + 1, 2**31, 2**32 + 1, 2**63, 10**29])
@pytest.mark.parametrize(
    ("command", "completion"),
    [
        (b"a SELECT", b""),
        (b"a NONSENSE", b"a BAD Error in IMAP command received by server.\r\n"),
        (b"a APPEND INBOX", b"a NO [TOOBIG] Message is too large.\r\n"),
    ],
)
def test_literal_that_never_ends(
    drive: Drive, command: bytes, completion: bytes, size: int
) -> None:
    """No command is found behind it any more: BYE, and none of what follows is executed."""
    driven = drive(IMAP_MAX_APPEND="1000000")
    sent = driven.send(command + b" {%d+}\r\nb CREATE INBOX.x\r\n" % size)

    assert sent == completion + b"* BYE [ALERT] Literal too large.\r\n"
    assert driven.ended


def test_literal_that_never_ends_while_idling(driven: Driven) -> None:
    """The same while a line ends IDLE."""
    driven.send(b"a IDLE\r\n")

    responses = read(driven.send(b"DONE {9999999999+}\r\n" + NOOP))

    assert [r.name for r in responses] == ["OK", "BYE"]
    assert driven.ended


def test_overlong_command(driven: Driven) -> None:
    """BAD under its tag, once, and the next command is served."""
    sent = driven.send(b"a SELECT " + b"x" * MAX_COMMAND + b"\r\n" + NOOP)

    assert sent == b"a BAD IMAP command too long.\r\n" + NOOP_OK


def test_many_pipelined_commands_hold_no_memory(driven: Driven) -> None:
    """Between two packets nothing of the commands served is kept."""
    for _ in range(3):
        driven.send(b"a NOOP\r\n" * 1000)
        assert driven.session.connection.reader.unread() == b""


# -- updates -----------------------------------------------------------------------------------


@pytest.fixture
def others(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Four messages; a call removes the second and brings a fifth. Every command looks for it."""
    monkeypatch.setattr(changes, "_LOOK_EVERY_S", -1.0)
    names = [deliver(maildir, PLAIN, number=number, flags="") for number in range(1, 5)]

    def change() -> None:
        (maildir / "cur" / f"{names[1]}:2,").unlink()
        deliver(maildir, PLAIN, number=5, flags="")

    return change


TOLD = [
    name
    for name in table.COMMANDS
    if name not in ("LOGOUT", "UNAUTHENTICATE", "SELECT", "EXAMINE", "CLOSE")
]
ARGUMENTS = {
    "ID": "NIL",
    "COMPRESS": "DEFLATE",
    "UIDBATCHES": "500",
    "ESEARCH": "ALL",
    "CANCELUPDATE": '"x"',
    "NOTIFY": "SET (selected (MessageNew MessageExpunge)) (personal (MailboxName))",
    "ENABLE": "X",
    "CREATE": "INBOX.new",
    "DELETE": "INBOX.x",
    "RENAME": "INBOX.x INBOX.y",
    "SUBSCRIBE": "INBOX",
    "UNSUBSCRIBE": "INBOX",
    "LIST": '"" %',
    "LSUB": '"" %',
    "STATUS": "INBOX (UNSEEN)",
    "APPEND": "INBOX {1+}\r\nx",
    "GETMETADATA": "INBOX /shared/comment",
    "SETMETADATA": 'INBOX (/shared/comment "x")',
    "SETACL": "INBOX.x alice lr",
    "DELETEACL": "INBOX.x alice",
    "GETACL": "INBOX.x",
    "LISTRIGHTS": "INBOX.x alice",
    "MYRIGHTS": "INBOX.x",
    "ACL": "STORE INBOX.x user=alice lr",
    "SEARCH": "ALL",
    "SORT": "(DATE) utf-8 ALL",
    "THREAD": "REFERENCES utf-8 ALL",
    "FETCH": "1 UID",
    "STORE": "1 FLAGS ()",
    "COPY": "1 INBOX",
    "REPLACE": "4 INBOX {1+}\r\nx",
    "MOVE": "4 INBOX",
    "UID EXPUNGE": "9",
    "IDLE": "\r\nDONE",
    "GETQUOTA": "ROOT",
    "GETQUOTAROOT": "INBOX",
}


@pytest.mark.parametrize("name", [name for name in TOLD if name != "UNSELECT"])
def test_updates_stand_before_the_completion(
    maildir: Path, others: Callable[[], None], name: str
) -> None:
    """New messages are told by every command; EXPUNGE never where numbers may be used."""
    make_folder(maildir, "INBOX.x")
    driven = Driven(maildir)
    driven.send(b"s SELECT INBOX\r\n")
    others()
    arguments = ARGUMENTS.get(name, ARGUMENTS.get(name.removeprefix("UID "), ""))

    responses = driven.ask(f"a {name} {arguments}".rstrip(" "))

    assert responses[-1].tag == b"a"
    assert tagged(responses) == [b"a"]
    assert responses[-1].name == ("NO" if name in ("SETQUOTA", "CANCELUPDATE") else "OK"), (
        responses[-1]
    )
    assert "EXISTS" in [response.name for response in responses]
    told = [response.number for response in responses if response.name == "EXPUNGE"]
    assert bool(told) == (name not in ("FETCH", "STORE", "SEARCH", "SORT", "THREAD"))


@pytest.mark.parametrize("name", ["FETCH 2:4 UID", "STORE 3 +FLAGS (\\Seen)", "SEARCH 2:3"])
def test_numbers_stay_while_they_may_be_used(
    maildir: Path, others: Callable[[], None], name: str
) -> None:
    """A command that the client has sent already still means the messages it meant."""
    driven = Driven(maildir)
    driven.send(b"s SELECT INBOX\r\n")
    others()
    sent = driven.send(f"a UID FETCH 1:* FLAGS\r\nb CAPABILITY\r\nc {name}\r\nd NOOP\r\n".encode())

    responses = read(sent)

    names = [response.name for response in responses]
    completed = [response.tag for response in responses].index(b"c")
    assert "EXPUNGE" not in names[:completed]
    assert names[completed:].count("EXPUNGE") == 1
    numbered = [r for r in responses if r.name == "FETCH" and (b"UID", 4) in r.values]
    assert all(response.number == 4 for response in numbered)


@pytest.mark.parametrize(
    ("command", "looks_before"),
    [
        ("APPEND INBOX {5+}\r\nhello", 0),
        ("COPY 1 INBOX", 1),
        ("UID MOVE 1 INBOX", 1),
        ("NAMESPACE", 0),
    ],
)
def test_completion_stands_whatever_comes_of_looking_for_updates(
    maildir: Path,
    command: str,
    looks_before: int,
    others: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was stored is not reported as refused because INBOX can't be read after it."""
    driven = Driven(maildir)
    driven.send(b"s SELECT INBOX\r\n")

    looks = itertools.count()

    def fail() -> None:
        if next(looks) < looks_before:
            return
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(maildir))

    monkeypatch.setattr(driven.session.selected, "refresh_at_once", lambda: False)
    monkeypatch.setattr(driven.session.selected, "refresh", fail)

    assert driven.ask(f"a {command}")[-1].name == "OK"
    assert next(looks) == looks_before + 1


# -- ends --------------------------------------------------------------------------------------

#: A conversation that goes through every phase: literals of both kinds, IDLE, moves, log-out.
SCRIPT = (
    b"a1 SELECT INBOX\r\na2 FETCH 1:2 (FLAGS BODY[])\r\na3 STATUS ",
    b"{7}\r\n",
    b"INBOX.x",
    b" (MESSAGES)\r\na4 APPEND INBOX (\\Seen kw) {10}\r\n",
    b"Subject: ",
    b"x\r\na5 APPEND INBOX.x {3+}\r\nabc",
    b"\r\na6 NONSENSE {3+}\r\nabc",
    b"def\r\na7 COPY 1:2 INBOX.x\r\na8 MOVE 1 INBOX.x\r\na9 STORE 1 +FLAGS (\\Deleted k2)\r\n",
    b"b1 IDLE\r\n",
    b"DO",
    b"NE\r\nb2 EXPUNGE\r\nb3 SEARCH TEXT x\r\nb4 CREATE INBOX.y\r\nb5 RENAME INBOX.y INBOX.z\r\n",
    b'b6 LIST "" *\r\nb7 ID NIL\r\nb8 CLOSE\r\nb9 DELETE INBOX.z\r\n',
    b"c1 LOGOUT\r\n",
)
ALL_TAGS = [b"%c%d" % (letter, n) for letter in b"ab" for n in range(1, 10)] + [b"c1"]


def script_run(
    root: Path, number: int, disturb: Callable[[Driven], None]
) -> tuple[Driven, Path, list[Response]]:
    """Hold the script on a maildir of its own; return what came of it."""
    maildir = root / f"Maildir{number}"
    for path in (maildir, maildir / ".x"):
        for name in ("tmp", "new", "cur"):
            (path / name).mkdir(parents=True)
    for message in (1, 2):
        deliver(maildir, PLAIN, number=message)
    driven = Driven(maildir, started=False)
    disturb(driven)
    driven.send(*SCRIPT)
    if not driven.ended:
        driven.close()
    return driven, maildir, read(driven.output)


def messages(maildir: Path) -> int:
    return sum(len(os.listdir(folder)) for folder in maildir.rglob("cur"))


def test_script(tmp_path: Path) -> None:
    """Undisturbed, every command but the nonsense is carried out."""
    _, maildir, responses = script_run(tmp_path, 0, lambda driven: None)

    assert [(r.tag, r.name) for r in responses if r.is_tagged and r.name != "OK"] == [
        (b"a6", "BAD")
    ]
    assert tagged(responses) == ALL_TAGS
    assert messages(maildir) == 5
    assert leftovers(maildir) == []


@pytest.mark.slow
def test_shut_down_after_every_step(tmp_path: Path) -> None:
    """Whole responses, then one BYE, whatever was going on; nothing is left in tmp/."""
    for number in itertools.count():
        steps = itertools.count()

        def stop(driven: Driven, at: int = number, steps: itertools.count[int] = steps) -> None:
            def after(step: object) -> None:
                if next(steps) == at:
                    raise ShuttingDown

            driven.after = after

        driven, maildir, responses = script_run(tmp_path, number, stop)

        if next(steps) <= number:
            break
        assert driven.ended
        assert byes(responses) == 1, driven.output[-300:]
        assert len(tagged(responses)) == len(set(tagged(responses)))
        assert leftovers(maildir) == []
    assert number > 60


@pytest.mark.slow
def test_client_gone_at_every_step(tmp_path: Path, logged: Log) -> None:
    """The session ends and logs it, whatever was going on; nothing is left in tmp/."""
    for number in itertools.count():
        steps = itertools.count()

        def lose(driven: Driven, at: int = number, steps: itertools.count[int] = steps) -> None:
            def before(step: object) -> None:
                if next(steps) == at and not isinstance(step, Work):
                    raise ClientGone

            driven.before = before

        driven, maildir, _ = script_run(tmp_path, number, lose)

        if next(steps) <= number:
            break
        assert driven.ended
        assert leftovers(maildir) == []
    assert number > 60
    assert len(logged.lines) > number


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.ENOENT, errno.EIO])
def test_every_work_failing(tmp_path: Path, code: int) -> None:
    """The command in hand is refused, once, and the session goes on; nothing is left in tmp/."""
    for number in itertools.count():
        works = itertools.count()

        def fail(driven: Driven, at: int = number, works: itertools.count[int] = works) -> None:
            def before(step: object) -> None:
                if isinstance(step, Work) and next(works) == at:
                    raise OSError(code, os.strerror(code), "some/path")

            driven.before = before

        driven, maildir, responses = script_run(tmp_path, number, fail)

        if next(works) <= number:
            break
        # A refused IDLE leaves its DONE, which is no command, for the next line.
        assert [tag for tag in tagged(responses) if tag != b"DONE"] == ALL_TAGS, driven.output
        assert byes(responses) == 1
        assert leftovers(maildir) == []
    assert number > 20


def test_second_signal_and_lost_client_while_saying_bye(driven: Driven) -> None:
    """Once BYE is on its way nothing more is said, whatever happens then."""
    for failure in (ShuttingDown, ClientGone):

        def after(step: object, failure: type[Exception] = failure) -> None:
            if isinstance(step, bytes) and b"BYE" in step:
                raise failure

        driven.after = after
        driven.send(Wake.TIMEOUT)
        assert driven.ended
        assert driven.output.count(b"BYE") == 1


# -- failures ----------------------------------------------------------------------------------


def test_bug_in_a_handler(
    driven: Driven, tmp_path: Path, logged: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BYE without particulars; the log has the traceback, the user and the command."""

    def broken(session: object, arguments: object) -> Ok:
        raise ZeroDivisionError("secret")

    monkeypatch.setitem(table.COMMANDS, "NOOP", table.Command(broken))

    assert driven.send(b"a NOOP\r\n") == b"* BYE [ALERT] Internal error, see the server's log.\r\n"
    assert driven.ended
    lines = logged.lines
    assert lines[0] == "ERR: user: NOOP: internal error, its traceback follows"
    assert "ERR: ZeroDivisionError: secret" in lines
    (tmp_path / "log").write_text("")


def test_system_failure_in_a_handler(driven: Driven, logged: Log) -> None:
    """NO with the system's text, one line in the log, and the session goes on."""

    def before(step: object) -> None:
        if isinstance(step, Work):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "a/path\nERR: forged")

    driven.before = before

    told = driven.send(b"a SUBSCRIBE INBOX\r\n")
    assert told == b"a NO [OVERQUOTA] SUBSCRIBE failed: Disk quota exceeded\r\n"
    assert logged.lines == ["ERR: SUBSCRIBE failed: a/path\\x0aERR: forged: Disk quota exceeded"]
    assert driven.send(NOOP) == NOOP_OK


def test_selected_mailbox_removed_by_another_program(driven: Driven, maildir: Path) -> None:
    """NO for the command that notices, then BYE: it can't stay selected."""
    folder = make_folder(maildir, "INBOX.x")
    driven.send(b"a SELECT INBOX.x\r\n")
    folder.rename(maildir / "elsewhere")

    responses = driven.ask("b NOOP")

    assert [(response.tag, response.name) for response in responses][-1:] == [(b"*", "BYE")]
    assert byes(responses) == 1
    assert driven.ended


def test_selected_mailbox_renumbered_by_another_program(driven: Driven, maildir: Path) -> None:
    """No number told so far is valid any more: BYE."""
    deliver(maildir, PLAIN, number=1, flags="")
    driven.send(b"a SELECT INBOX\r\n")
    database = maildir / "courierimapuiddb"
    database.unlink()
    database.write_bytes(b"1 999999 1\n")

    responses = driven.ask("b NOOP")

    assert [response.name for response in responses] == ["BYE"]
    assert driven.ended
