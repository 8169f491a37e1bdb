"""Several sessions on one mailbox against a simple model of RFC 9051's rules, step by step.

All run in this process, without a clock: what is found is found again. Deliveries and changes by other
programs come between; the sessions are of two processes, as far as they share a `Store`.

MODEL_EXAMPLES=2000 in the environment makes it try so many (`make check-long`), MODEL_SHRINK=1 look for the
shortest way to what it finds, which takes minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from courier import log
from courier.maildir.store import Store
from courier.process.request import Wake
from tests.imapd.driver import Driven
from tests.imapd.responses import Response, read
from tests.sessions.mailbox_model import KEYWORDS, SYSTEM, TEXT, Command, Model, chosen
from tests.sessions.picture import Flags, Picture, number_set, numbers
from tests.support.maildirs import make_folder, make_maildir

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "50"))
#: As NeoMutt has it.
IN_FLIGHT = 15

FLAGS = st.frozensets(st.sampled_from(SYSTEM), max_size=3)
WORDS = st.frozensets(st.sampled_from(SYSTEM + KEYWORDS), max_size=3)
SESSIONS = st.integers(0, 2)


class Player:
    """A client of our server: its session and its picture of the mailbox."""

    def __init__(self, maildir: Path, store: Store | None) -> None:
        self.maildir = maildir
        self.store = store
        self.is_read_only = False
        self.enabled = ""
        self.is_idle = False
        self.filter = ""  # NOTIFY's
        self.tags = 0
        self.picture = Picture()
        self.driven = self._connect()

    def _connect(self) -> Driven:
        driven = Driven(self.maildir)
        if self.store is not None:
            driven.session.store = self.store
        return driven

    def open(self, enabled: str, *, read_only: bool, names_known: bool = False) -> None:
        """Connect, enable this and select the mailbox, with what is known of it.

        Args:
            names_known: tell the server of which messages the client wants to hear.
        """
        self.driven.close()
        self.driven = self._connect()
        self.filter = ""
        known, self.picture = self.picture, Picture(enabled != "", enabled == "QRESYNC")
        resynchronises = self.picture.vanishing and known.highest > 0
        self.enabled, self.is_read_only = enabled, read_only
        if enabled:
            self.run([Command("ENABLE", enabled)])
        parameter = ""
        uids = [uid for uid in known.uids if uid is not None]
        if resynchronises:
            among = f" {number_set(uids)}" if uids and names_known else ""
            parameter = f" (QRESYNC ({known.uidvalidity} {known.highest}{among}))"
        name = "EXAMINE" if read_only else "SELECT"
        self.run([Command(name, f"INBOX{parameter}")])
        self.resynchronised = known if resynchronises else None

    def run(self, commands: Sequence[Command]) -> None:
        """Send commands in one go; take in what comes, and what the commands have done."""
        tags = [f"t{self.tags + number}" for number in range(len(commands))]
        self.tags += len(commands)
        lines = "".join(f"{t} {c.line}\r\n" for t, c in zip(tags, commands, strict=True))
        sent = self.driven.send(lines.encode())
        note(f"{lines.encode()!r} {sent!r}")
        responses = read(sent)
        for tag, command in zip(tags, commands, strict=True):
            mine: list[Response] = []
            while True:
                response = responses.pop(0)
                mine.append(response)
                if command.keeps_messages:
                    assert response.name not in ("EXPUNGE", "VANISHED"), command.line
                self.picture.take(response, command.name)
                if response.is_tagged:
                    break
            assert response.tag == tag.encode()
            assert response.name != "BAD", (command.line, response)
            command.done(mine, response)
        assert not responses

    def be_told(self) -> None:
        """Hear what there is to be told with no command in progress (NOTIFY)."""
        for response in read(self.driven.wake()):
            note(repr(response.raw))
            assert response.tag == b"*"
            self.picture.take(response, "")

    # -- IDLE ------------------------------------------------------------------------------

    def start_idle(self) -> None:
        self._idling(b"i IDLE\r\n")
        self.is_idle = True

    def wake(self) -> None:
        self._idling(Wake.CHANGED)

    def send_done(self) -> None:
        self._idling(b"DONE\r\n")
        self.is_idle = False

    def _idling(self, sent: bytes | Wake) -> None:
        for response in read(self.driven.send(sent)):
            assert response.name != "BAD"
            note(repr(response.raw))
            self.picture.take(response, "IDLE")


class Sessions(RuleBasedStateMachine):
    """Three sessions, of which two share a process, and whoever else touches a maildir."""

    def __init__(self) -> None:
        super().__init__()
        self.top = tempfile.mkdtemp(prefix="model")
        self.maildir = make_maildir(Path(self.top) / "Maildir")
        make_folder(self.maildir, "INBOX.away")
        self.log = os.open(f"{self.top}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        log.use(self.log)
        # Without a clock nothing is looked for but by a command, or where a rule says so.
        self.clock = mock.patch("imapd.changes._LOOK_EVERY_S", 1e9)
        self.clock.start()
        self.model = Model(self.maildir)
        for _ in range(3):
            self.model.deliver(None)
        first = Player(self.maildir, None)
        self.players = [
            first,
            Player(self.maildir, first.driven.session.store),
            Player(self.maildir, None),
        ]
        for player, enabled in zip(self.players, ("", "CONDSTORE", "QRESYNC"), strict=True):
            player.open(enabled, read_only=False)
        self.model.check()

    def teardown(self) -> None:
        for player in self.players:
            player.driven.close()
        Driven.made.clear()
        self.clock.stop()
        log.use(2)
        os.close(self.log)
        logged = Path(f"{self.top}/log").read_text()
        shutil.rmtree(self.top)
        assert "Traceback" not in logged, logged
        assert "ERR" not in logged, logged

    # -- other programs --------------------------------------------------------------------

    @rule(flags=st.none() | FLAGS)
    def deliver(self, flags: Flags | None) -> None:
        self.model.deliver(flags)

    @rule(data=st.data(), flags=FLAGS)
    @precondition(lambda self: self.model.files())
    def rename(self, data: st.DataObject, flags: Flags) -> None:
        self.model.rename(data.draw(st.sampled_from(sorted(self.model.files()))), flags)

    @rule(data=st.data())
    @precondition(lambda self: self.model.files())
    def unlink(self, data: st.DataObject) -> None:
        self.model.unlink(data.draw(st.sampled_from(sorted(self.model.files()))))

    # -- sessions --------------------------------------------------------------------------

    @rule(number=SESSIONS)
    def time_passes(self, number: int) -> None:
        """The session's next command will look for changes, whatever it is."""
        self.players[number].driven.session.changes.look_again()

    @rule(
        number=SESSIONS,
        enabled=st.sampled_from(("", "CONDSTORE", "QRESYNC", "QRESYNC")),
        read_only=st.sampled_from((False, False, True)),
        names_known=st.booleans(),
    )
    def reconnect(self, number: int, enabled: str, read_only: bool, names_known: bool) -> None:
        """With QRESYNC the client's old picture, brought up to date, is what there is."""
        player = self.players[number]
        if player.is_idle:
            player.send_done()
        before = {m.uid: m.flags for m in player.picture.messages if m.uid is not None}
        untold = player.picture.unknown()
        player.open(enabled, read_only=read_only, names_known=names_known)
        picture = player.picture
        self.model.check()
        if player.resynchronised is not None:
            told = {m.uid: m.flags for m in picture.messages if m.uid is not None}
            after = {**before, **told}
            for uid in picture.earlier:
                after.pop(uid, None)
            gone = after.keys() - self.model.messages.keys()
            assert not gone, f"gone, and not told: {gone}"
            came = self.model.messages.keys() - after.keys()
            assert names_known or len(came) <= untold, f"came, and not told: {came}"
            for uid, flags in after.items():
                assert flags in (None, self.model.messages[uid]), (
                    f"UID {uid}: changed, and not told"
                )
        picture.agrees(self.model.messages)

    @rule(number=SESSIONS)
    def look(self, number: int) -> None:
        """NOOP tells everything; what the client asks for then is what it was told."""
        player = self.players[number]
        if player.is_idle:
            return
        player.run([Command("NOOP")])
        self.model.check()
        player.picture.agrees(self.model.messages)
        if player.picture.messages:
            player.run([Command("FETCH", "1:* (UID FLAGS)", keeps_messages=True)])
        player.picture.agrees(self.model.messages)
        if not player.is_read_only:
            recent = sum(message.is_recent for message in player.picture.messages)
            assert recent == player.picture.recent

    @rule(number=SESSIONS)
    def idle(self, number: int) -> None:
        """One step of IDLE: begin, wake up, or end. Each tells everything."""
        player = self.players[number]
        if player.is_idle:
            player.send_done()
        else:
            player.start_idle()
        self.model.check()
        player.picture.agrees(self.model.messages)

    @rule(number=SESSIONS)
    def wake(self, number: int) -> None:
        player = self.players[number]
        if player.is_idle:
            player.wake()
            self.model.check()
            player.picture.agrees(self.model.messages)

    @rule(number=SESSIONS, filter_=st.sampled_from(("selected", "selected-delayed")))
    def notify(self, number: int, filter_: str) -> None:
        """It tells all that has accumulated (RFC 5465 3.1)."""
        player = self.players[number]
        if not player.is_idle:
            player.filter = filter_
            player.picture.told_at_once = filter_ == "selected"
            of_messages = "(MessageNew (UID) MessageExpunge FlagChange)"
            groups = f"({filter_} {of_messages}) (personal (MessageNew MessageExpunge MailboxName))"
            player.run([Command("NOTIFY", f"SET {groups}")])
            self.model.check()
            player.picture.agrees(self.model.messages)

    @rule(number=SESSIONS)
    def be_told(self, number: int) -> None:
        """With no command in progress, all is told at once, or all that changes no number."""
        player = self.players[number]
        if player.filter and not player.is_idle:
            player.be_told()
            self.model.check()
            if player.filter == "selected":
                player.picture.agrees(self.model.messages)

    @rule(number=SESSIONS, data=st.data())
    def command(self, number: int, data: st.DataObject) -> None:
        self._run(number, data, 1)

    @rule(number=SESSIONS, data=st.data(), count=st.integers(2, IN_FLIGHT))
    def pipeline(self, number: int, data: st.DataObject, count: int) -> None:
        self._run(number, data, count)

    def _run(self, number: int, data: st.DataObject, count: int) -> None:
        player = self.players[number]
        if player.is_idle:
            return
        commands: list[Command] = []
        for _ in range(count):
            # RFC 9051 5.5: no sequence numbers behind what may tell of removed messages.
            may_number = all(command.keeps_numbers for command in commands)
            commands.append(self._command(player, data, may_number=may_number))
        player.run(commands)
        self.model.check()

    def _command(self, player: Player, data: st.DataObject, *, may_number: bool) -> Command:
        names = ["NOOP", "CHECK", "EXPUNGE", "APPEND", "STATUS", "UID SEARCH"]
        picture = player.picture
        if picture.messages and may_number:
            names += ["FETCH", "SEARCH"]
        if picture.known():
            names += ["UID FETCH", "UID STORE", "UID COPY", "UID MOVE", "UID EXPUNGE"]
            if may_number:
                names += ["STORE", "STORE", "COPY", "MOVE", "BODY", "UID SEARCH n"]
        name = data.draw(st.sampled_from(names))
        by_uid = name.startswith("UID ")
        if name in ("NOOP", "CHECK"):
            return Command(name)
        if name == "APPEND":
            flags = data.draw(WORDS)
            text = f"APPEND INBOX ({' '.join(sorted(flags))}) {{{len(TEXT)}+}}\r\n{TEXT.decode()}"
            return Command(
                name, text=text, done=_unless(player.is_read_only, self.model.append(flags))
            )
        if name == "STATUS":
            return Command(name, "INBOX (MESSAGES UNSEEN UIDNEXT)")
        if name in ("SEARCH", "UID SEARCH"):
            return self._search(player, data, by_uid=by_uid, may_number=may_number)
        if name == "UID SEARCH n":  # RFC 7162 3.2.10.2
            return Command("UID SEARCH", f"1:{len(picture.messages)}", keeps_messages=True)
        if name == "EXPUNGE":
            done = self.model.expunge(None)
            return Command(name, done=_unless(player.is_read_only, done))
        return self._on_messages(player, data, name)

    def _search(
        self, player: Player, data: st.DataObject, *, by_uid: bool, may_number: bool
    ) -> Command:
        flag = data.draw(st.sampled_from(("SEEN", "DELETED", "FLAGGED")))
        picture = player.picture

        def done(responses: list[Response], completion: Response) -> None:
            for response in responses:
                if response.name == "SEARCH" and not by_uid:
                    assert all(0 < n <= len(picture.messages) for n in response.values)  # type: ignore[operator]

        name = "UID SEARCH" if by_uid else "SEARCH"
        return Command(name, flag, done, keeps_numbers=not by_uid, keeps_messages=not by_uid)

    def _on_messages(self, player: Player, data: st.DataObject, name: str) -> Command:
        """A command on some messages whose UIDs the client knows."""
        picture, model = player.picture, self.model
        by_uid = name.startswith("UID ")
        if name == "FETCH":
            count = len(picture.messages)
            low, high = sorted(data.draw(st.tuples(*[st.integers(1, count)] * 2)))
            asked = data.draw(st.sampled_from(("FLAGS", "(UID FLAGS)", "UID", "(FLAGS UID)")))
            return Command(name, f"{low}:{high} {asked}", keeps_numbers=True, keeps_messages=True)
        picked = st.sets(st.sampled_from(picture.known()), min_size=1, max_size=3)
        seqs = sorted(data.draw(picked))
        uids = [picture.uid(seq) for seq in seqs]
        among = chosen(picture, seqs, by_uid=by_uid)
        verb = name.removeprefix("UID ")
        if verb == "BODY":
            command = Command(
                "FETCH", f"{among} BODY[TEXT]", keeps_numbers=True, keeps_messages=True
            )
            return (
                command
                if player.is_read_only
                else replace(command, done=model.seen(dict(zip(seqs, uids, strict=True))))
            )
        if verb == "FETCH":
            return Command(name, f"{among} (FLAGS)")
        if verb == "EXPUNGE":
            return Command(name, among, _unless(player.is_read_only, model.expunge(uids)))
        if verb == "COPY":
            return Command(name, f"{among} INBOX", model.copy())
        if verb == "MOVE":
            return Command(
                name, f"{among} INBOX.away", _unless(player.is_read_only, model.move(uids))
            )
        return self._store(
            player, data, name, dict(zip(map(int, among.split(",")), uids, strict=True))
        )

    def _store(
        self, player: Player, data: st.DataObject, name: str, named: dict[int, int]
    ) -> Command:
        picture = player.picture
        sign = data.draw(st.sampled_from(("+", "+", "-", "")))
        flags = data.draw(st.sampled_from((frozenset({"\\Deleted"}), None))) or data.draw(WORDS)
        is_silent = data.draw(st.booleans())
        until = picture.modseqs and data.draw(st.booleans())
        modifier = f" (UNCHANGEDSINCE {picture.highest})" if until else ""
        done = self.model.store(named, sign, flags, until=until)

        def expect(responses: list[Response], completion: Response) -> None:
            """What was to be done in silence is done in the client's picture, unless it is told."""
            done(responses, completion)
            if not is_silent or completion.name != "OK":
                return
            refused = re.match(r"MODIFIED (.*)", completion.code)
            left = numbers(refused[1].encode()) if refused else []
            changed = {uid for number, uid in named.items() if number not in left}
            for message in picture.messages:
                was_told = message.told_in == picture.completed - 1
                if message.uid in changed and message.flags is not None and not was_told:
                    old = message.flags
                    message.flags = {"+": old | flags, "-": old - flags, "": flags}[sign]

        is_by_uid = name.startswith("UID ")
        return Command(
            name,
            f"{number_set(list(named))}{modifier} {sign}FLAGS{'.SILENT' * is_silent} "
            f"({' '.join(sorted(flags))})",
            _unless(player.is_read_only, expect),
            keeps_numbers=not is_by_uid,
            keeps_messages=not is_by_uid,
        )

    # -- always ----------------------------------------------------------------------------

    @invariant()
    def numbers_are_the_servers(self) -> None:
        for player in self.players:
            view = player.driven.session.selected
            assert len(player.picture.messages) == len(view.uids)
            for uid, real in zip(player.picture.uids, view.uids, strict=True):
                assert uid in (None, real)


def _unless(is_read_only: bool, done):  # type: ignore[no-untyped-def]
    if not is_read_only:
        return done

    def refused(responses: list[Response], completion: Response) -> None:
        assert completion.name == "NO"

    return refused


Sessions.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=(Phase.generate, Phase.shrink) if os.environ.get("MODEL_SHRINK") else (Phase.generate,),
)
TestSessions = Sessions.TestCase
