"""CONDSTORE and QRESYNC (RFC 7162): what a client sees that goes by MODSEQs."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.responses import Response
from tests.support.maildirs import deliver, make_folder

pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
def filled(maildir: Path) -> Path:
    """A maildir with four messages."""
    for number in range(4):
        deliver(maildir, b"Subject: x\n\nbody\n", number=number, flags="")
    return maildir


@pytest.fixture
def selected(filled: Path, drive: Drive) -> Driven:
    session = drive()
    session.ask("s SELECT INBOX (CONDSTORE)")
    return session


def highest(responses: list[Response]) -> int:
    """The last HIGHESTMODSEQ among responses."""
    codes = [r.code for r in responses if r.code.startswith("HIGHESTMODSEQ")]
    return int(codes[-1].split()[1])


def fetched(responses: list[Response]) -> dict[int, dict[str, object]]:
    """What FETCH responses tell, by sequence number."""
    told: dict[int, dict[str, object]] = {}
    for response in responses:
        if response.name == "FETCH":
            items = {name.decode(): value for name, value in response.values}  # type: ignore[misc]
            told.setdefault(response.number, {}).update(items)
    return told


def modseqs(session: Driven) -> dict[int, int]:
    told = fetched(session.ask("m FETCH 1:* (MODSEQ)"))
    return {seq: int(items["MODSEQ"]) for seq, items in told.items()}  # type: ignore[call-overload]


# -- CONDSTORE -----------------------------------------------------------------------------------


def test_a_changed_message_has_a_higher_modseq(selected: Driven) -> None:
    before = modseqs(selected)
    selected.ask("a STORE 2 +FLAGS (\\Flagged)")
    after = modseqs(selected)

    assert after[2] > max(before.values())
    assert {seq: after[seq] for seq in (1, 3, 4)} == {seq: before[seq] for seq in (1, 3, 4)}


def test_what_changes_nothing_leaves_the_modseq(selected: Driven) -> None:
    selected.ask("a STORE 2 +FLAGS (\\Flagged)")
    before = modseqs(selected)

    selected.ask("a STORE 2 +FLAGS (\\Flagged)")

    assert modseqs(selected) == before


def test_silence_ends_where_modseqs_begin(selected: Driven) -> None:
    """RFC 7162 3.1.3, and 3.2.4: with the UID."""
    told = fetched(selected.ask("a STORE 2 +FLAGS.SILENT (\\Flagged)"))

    assert told.keys() == {2}
    assert told[2].keys() == {"UID", "MODSEQ"}
    assert told[2]["MODSEQ"] == modseqs(selected)[2]


@pytest.mark.parametrize(
    "enabling",
    [
        "SELECT INBOX (CONDSTORE)",
        "FETCH 1 MODSEQ",
        "FETCH 1 FLAGS (CHANGEDSINCE 1)",
        "STORE 1 (UNCHANGEDSINCE 1) +FLAGS.SILENT (x)",
        "SEARCH MODSEQ 1",
        "SORT (SUBJECT) utf-8 MODSEQ 1",
        "THREAD REFERENCES utf-8 MODSEQ 1",
        "STATUS INBOX (HIGHESTMODSEQ)",
        "ENABLE CONDSTORE",
    ],
)
def test_commands_that_enable_it(filled: Path, drive: Drive, enabling: str) -> None:
    """RFC 7162 3.1: from then on changes of others come with MODSEQs; first the number there is."""
    one, other = drive(), drive()
    one.ask("s SELECT INBOX")
    other.ask("s SELECT INBOX")
    other.ask("a STORE 2 +FLAGS (\\Answered)")
    assert fetched(one.ask("n NOOP"))[2].keys() == {"FLAGS"}

    assert highest(one.ask(f"e {enabling}")) > 0
    other.ask("a STORE 2 +FLAGS (\\Flagged)")
    told = fetched(one.ask("n NOOP"))

    assert told[2].keys() == {"UID", "FLAGS", "MODSEQ"}


def test_changed_since(selected: Driven, drive: Drive) -> None:
    since = highest(selected.ask("s SELECT INBOX"))
    other = drive()
    other.ask("s SELECT INBOX")
    other.ask("a STORE 2,4 +FLAGS (\\Flagged)")
    selected.ask("n NOOP")

    told = fetched(selected.ask(f"f FETCH 1:3 (FLAGS) (CHANGEDSINCE {since})"))

    assert told == {2: {"FLAGS": [b"\\Flagged"], "MODSEQ": modseqs(selected)[2]}}
    assert fetched(selected.ask(f"f FETCH 1:* BODY.PEEK[] (CHANGEDSINCE {since})")).keys() == {2, 4}


@pytest.mark.parametrize(
    "modifiers",
    [
        "()",
        "(CHANGEDSINCE)",
        "(CHANGEDSINCE -1)",
        "(CHANGEDSINCE 9223372036854775808)",
        "(CHANGEDSINCE 1 CHANGEDSINCE 1)",
        "(CHANGEDSINCE 1 VANISHED)",
        "(VANISHED)",
        "(OTHER 1)",
        "CHANGEDSINCE 1",
    ],
)
def test_modifiers_that_there_are_not(selected: Driven, modifiers: str) -> None:
    """VANISHED is one only for UID FETCH, and with QRESYNC."""
    assert [r.name for r in selected.ask(f"f UID FETCH 1 FLAGS {modifiers}")] == ["BAD"]


def test_vanished_is_no_modifier_of_fetch(selected: Driven) -> None:
    selected.ask("e ENABLE QRESYNC")

    assert selected.ask("f FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)")[-1].name == "BAD"
    assert selected.ask("f UID FETCH 1 FLAGS (VANISHED)")[-1].name == "BAD"


def test_store_of_what_is_unchanged(selected: Driven, drive: Drive) -> None:
    """RFC 7162 3.1.3: what others have changed stays, and comes with the answer."""
    since = highest(selected.ask("s SELECT INBOX"))
    other = drive()
    other.ask("s SELECT INBOX")
    other.ask("a STORE 2 +FLAGS (\\Answered)")

    responses = selected.ask(f"a STORE 1:3 (UNCHANGEDSINCE {since}) +FLAGS.SILENT (\\Deleted)")

    assert (responses[-1].name, responses[-1].code) == ("OK", "MODIFIED 2")
    told = fetched(responses)
    assert told[1].keys() == told[3].keys() == {"UID", "MODSEQ"}
    assert told[2]["FLAGS"] == [b"\\Answered"]
    flags = {
        seq: items["FLAGS"] for seq, items in fetched(selected.ask("f FETCH 1:* FLAGS")).items()
    }
    assert flags == {1: [b"\\Deleted"], 2: [b"\\Answered"], 3: [b"\\Deleted"], 4: []}


def test_uid_store_names_uids(selected: Driven) -> None:
    responses = selected.ask("a UID STORE 2:9 (UNCHANGEDSINCE 0) FLAGS (\\Deleted)")

    assert responses[-1].code == "MODIFIED 2:4"
    assert fetched(responses) == {}


@pytest.mark.parametrize("what", ["\\Flagged", "$MDNSent", "\\Flagged $MDNSent"])
def test_of_two_who_store_one_is_too_late(selected: Driven, drive: Drive, what: str) -> None:
    """Both ask before either has looked: the lock tells them apart, not the looking."""
    since = highest(selected.ask("s SELECT INBOX"))
    other = drive()
    other.ask("s SELECT INBOX")
    command = f"a STORE 1 (UNCHANGEDSINCE {since}) +FLAGS.SILENT ({what})"

    first = other.ask(command)
    second = selected.ask(command)

    assert first[-1].code == ""
    assert second[-1].code == "MODIFIED 1"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("SEARCH MODSEQ {since}", "* SEARCH 2 3 (MODSEQ {three})"),
        ("UID SEARCH 2 MODSEQ {since}", "* SEARCH 2 (MODSEQ {two})"),
        ("SEARCH NOT MODSEQ {since}", "* SEARCH 1 4 (MODSEQ {one})"),
        ('SEARCH MODSEQ "/flags/\\\\seen" shared {since}', "* SEARCH 2 3 (MODSEQ {three})"),
        ("SEARCH MODSEQ 9223372036854775807", "* SEARCH"),
        ("SORT (REVERSE ARRIVAL) utf-8 MODSEQ {since}", "* SORT 3 2 (MODSEQ {three})"),
        ("THREAD ORDEREDSUBJECT utf-8 2 MODSEQ {since}", "* THREAD (2)"),
        ("SEARCH RETURN () MODSEQ {since}", '* ESEARCH (TAG "q") ALL 2:3 MODSEQ {three}'),
        ("SEARCH RETURN (MIN) MODSEQ {since}", '* ESEARCH (TAG "q") MIN 2 MODSEQ {two}'),
        (
            "SEARCH RETURN (MIN COUNT) MODSEQ {since}",
            '* ESEARCH (TAG "q") MIN 2 COUNT 2 MODSEQ {three}',
        ),
        ("SEARCH RETURN (COUNT) MODSEQ 9223372036854775807", '* ESEARCH (TAG "q") COUNT 0'),
        (
            "SORT RETURN (MAX) (ARRIVAL) utf-8 MODSEQ {since}",
            '* ESEARCH (TAG "q") MAX 3 MODSEQ {three}',
        ),
    ],
)
def test_search(selected: Driven, command: str, answer: str) -> None:
    before = highest(selected.ask("s SELECT INBOX"))
    selected.ask("a STORE 2 +FLAGS (\\Flagged)")
    selected.ask("a STORE 3 +FLAGS (\\Flagged)")
    now = modseqs(selected)
    numbers = {"since": before + 1, "one": now[1], "two": now[2], "three": now[3]}

    line, _, rest = selected.send(f"q {command.format(**numbers)}\r\n".encode()).partition(b"\r\n")

    assert line.decode() == answer.format(**numbers)
    assert rest.startswith(b"q OK")


@pytest.mark.parametrize(
    "key", ["MODSEQ", "MODSEQ x", 'MODSEQ "/x/y" all 1', 'MODSEQ "/flags/a" 1']
)
def test_search_keys_that_there_are_not(selected: Driven, key: str) -> None:
    assert [r.name for r in selected.ask(f"a SEARCH {key}")] == ["BAD"]


def test_status_tells_what_select_tells(selected: Driven, filled: Path) -> None:
    other = make_folder(filled, "INBOX.other")
    deliver(other, b"x\n", number=9, flags="")
    status = {
        name: selected.ask(f"a STATUS {name} (HIGHESTMODSEQ)")[0].values[1]
        for name in ("INBOX", "INBOX.other")
    }

    for name, values in status.items():
        assert values == {"HIGHESTMODSEQ": highest(selected.ask(f"s EXAMINE {name}"))}


def test_a_folder_that_keeps_no_modseqs(filled: Path, drive: Drive) -> None:
    """RFC 7162 3.1.2.2: without locks processes could not agree on the numbers."""
    session = drive(IMAP_USELOCKS="0")
    session.ask("e ENABLE QRESYNC")

    codes = [response.code for response in session.ask("s SELECT INBOX (QRESYNC (1 1))")]

    assert "NOMODSEQ" in codes and not [c for c in codes if c.startswith("HIGHESTMODSEQ")]
    for command in (
        "FETCH 1 MODSEQ",
        "UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "STORE 1 (UNCHANGEDSINCE 1) FLAGS (x)",
        "SEARCH MODSEQ 1",
    ):
        assert [r.name for r in session.ask(f"a {command}")] == ["BAD"], command
    assert session.ask("a STATUS INBOX (HIGHESTMODSEQ)")[0].values[1] == {"HIGHESTMODSEQ": 0}
    told = fetched(session.ask("a STORE 1 +FLAGS (\\Deleted)"))
    assert told[1].keys() == {"FLAGS"}
    assert "EXPUNGE" in [r.name for r in session.ask("x EXPUNGE")]


# -- QRESYNC -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        "()",
        "(CONDSTORE CONDSTORE)",
        "(QRESYNC)",
        "(QRESYNC 1)",
        "(QRESYNC (0 1))",
        "(QRESYNC (1))",
        "(QRESYNC (1 1 *))",
        "(QRESYNC (1 1 1:*))",
        "(QRESYNC (1 1 $))",
        "(QRESYNC (1 1 1:2 (1)))",
        "(QRESYNC (1 1 1:2 (1 *)))",
        "(QRESYNC (1 1 1:2 (1 1) 5))",
        "CONDSTORE",
    ],
)
def test_parameters_that_there_are_not(selected: Driven, parameters: str) -> None:
    selected.ask("e ENABLE QRESYNC")

    assert [r.name for r in selected.ask(f"s SELECT INBOX {parameters}")] == ["BAD"]
    assert selected.ask("f FETCH 1 FLAGS")[-1].name == "OK"  # the mailbox is still selected


def test_qresync_must_be_enabled(selected: Driven) -> None:
    assert [r.name for r in selected.ask("s SELECT INBOX (QRESYNC (1 1))")] == ["BAD"]


def test_expunge_tells_uids_and_the_modseq(selected: Driven) -> None:
    selected.ask("e ENABLE QRESYNC")
    selected.ask("a STORE 1,3 +FLAGS.SILENT (\\Deleted)")

    responses = selected.ask("x EXPUNGE")

    assert [(r.name, r.values) for r in responses[:-1]] == [
        ("VANISHED", (False, b"1,3")),
        ("EXISTS", ()),
        ("RECENT", ()),
    ]
    assert responses[-1].code == f"HIGHESTMODSEQ {highest(selected.ask('s SELECT INBOX'))}"


def test_close_tells_no_modseq(selected: Driven) -> None:
    """RFC 7162 3.2.8: the client would miss what others did before."""
    selected.ask("e ENABLE QRESYNC")
    selected.ask("a STORE 1 +FLAGS.SILENT (\\Deleted)")

    assert [(r.name, r.code) for r in selected.ask("c CLOSE")] == [("OK", "")]


@pytest.mark.parametrize("enabled", ["CONDSTORE", "QRESYNC"])
def test_what_may_not_be_told_yet_is_not_passed_over(
    selected: Driven, drive: Drive, enabled: str
) -> None:
    """RFC 7162 6: while EXPUNGEs wait, the number stays below theirs.

    With CONDSTORE alone, too: who has a number of it may come back with QRESYNC.
    """
    selected.ask(f"e ENABLE {enabled}")
    before = highest(selected.ask("s SELECT INBOX"))
    other = drive()
    other.ask("s SELECT INBOX")
    other.ask("a STORE 1 +FLAGS.SILENT (\\Deleted)")
    other.ask("x EXPUNGE")
    selected.session.changes.look_again()

    responses = selected.ask("a STORE 4 +FLAGS.SILENT (\\Flagged)")

    assert [r.name for r in responses] == ["FETCH", "OK", "OK"]
    assert highest(responses) < int(fetched(responses)[4]["MODSEQ"])  # type: ignore[call-overload]
    assert highest(responses) >= before
    responses = selected.ask("n NOOP")
    if enabled == "CONDSTORE":
        assert (responses[0].name, responses[0].number) == ("EXPUNGE", 1)
    else:
        assert (responses[0].name, responses[0].values) == ("VANISHED", (False, b"1"))
        assert highest(responses) > before


def test_uid_fetch_vanished(selected: Driven) -> None:
    selected.ask("e ENABLE QRESYNC")
    since = highest(selected.ask("s SELECT INBOX"))
    selected.ask("a STORE 1,3 +FLAGS.SILENT (\\Deleted)")
    selected.ask("x EXPUNGE")

    responses = selected.ask(f"f UID FETCH 2:9 FLAGS (CHANGEDSINCE {since} VANISHED)")

    assert [(r.name, r.values) for r in responses] == [
        ("VANISHED", (True, b"3")),
        ("OK", ()),
    ]


def test_the_log_does_not_reach_back(selected: Driven) -> None:
    """RFC 7162 3.2.6: then all that are not there, though they may have been known to be gone."""
    selected.ask("e ENABLE QRESYNC")
    selected.ask("a STORE 1,3 +FLAGS.SILENT (\\Deleted)")
    selected.ask("x EXPUNGE")

    responses = selected.ask("f UID FETCH 1:4294967295 FLAGS (CHANGEDSINCE 1 VANISHED)")

    assert (responses[0].name, responses[0].values) == ("VANISHED", (True, b"1,3"))
    assert fetched(responses).keys() == {1, 2}


def test_another_uidvalidity_is_another_mailbox(selected: Driven) -> None:
    selected.ask("e ENABLE QRESYNC")

    names = [r.name for r in selected.ask("s SELECT INBOX (QRESYNC (1 1))")]

    assert "VANISHED" not in names and "FETCH" not in names


def test_a_number_that_was_never_given_says_nothing(selected: Driven) -> None:
    """The client knows more than there was: it is told everything."""
    selected.ask("e ENABLE QRESYNC")
    codes = [r.code for r in selected.ask("s SELECT INBOX")]
    uidvalidity = next(code.split()[1] for code in codes if code.startswith("UIDVALIDITY"))
    selected.ask("a STORE 1 +FLAGS.SILENT (\\Deleted)")
    selected.ask("x EXPUNGE")

    responses = selected.ask(f"s SELECT INBOX (QRESYNC ({uidvalidity} {1 << 62}))")

    assert [r.values for r in responses if r.name == "VANISHED"] == [(True, b"1")]
    assert fetched(responses).keys() == {1, 2, 3}


class Cache:
    """A client that keeps what it knows of a mailbox from session to session."""

    def __init__(self, session: Driven) -> None:
        self.uidvalidity = self.modseq = 0
        self.fetched = 0  # all up to this UID have been asked for
        self.flags: dict[int, frozenset[bytes]] = {}
        self.connect(session)

    def connect(self, session: Driven) -> None:
        """Open the mailbox, and get in step with it as RFC 7162 6 says."""
        self.session = session
        self.uids: list[int] = []  # by sequence number; 0: not known
        session.ask("e ENABLE QRESYNC")
        known = ""
        if self.uidvalidity:
            known = f" (QRESYNC ({self.uidvalidity} {self.modseq}))"
        responses = session.ask(f"s SELECT INBOX{known}")
        codes = dict(r.code.split() for r in responses if " " in r.code and "(" not in r.code)
        assert self.uidvalidity in (0, int(codes["UIDVALIDITY"]))
        self.uidvalidity = int(codes["UIDVALIDITY"])
        exists = next(r.number for r in responses if r.name == "EXISTS")
        self.uids = [0] * exists
        self.take(responses)
        self.do(f"UID FETCH {self.fetched + 1}:* FLAGS")
        self.uids = self.session.session.selected.uids.tolist()
        self.fetched = max(self.uids, default=self.fetched)

    def do(self, command: str) -> None:
        self.take(self.session.ask(f"c {command}"))

    def take(self, responses: list[Response]) -> None:
        for response in responses:
            if response.name == "VANISHED":
                is_earlier, uids = response.values
                for uid in expanded(uids):  # type: ignore[arg-type]
                    self.flags.pop(uid, None)
                    if not is_earlier:
                        self.uids.remove(uid)
            elif response.name == "EXISTS" and self.uids:
                assert response.number >= len(self.uids)
            elif response.name == "FETCH":
                items = dict(response.values)  # type: ignore[call-overload]
                if b"FLAGS" in items and b"UID" in items:
                    self.flags[items[b"UID"]] = frozenset(items[b"FLAGS"]) - {b"\\Recent"}
            if response.code.startswith("HIGHESTMODSEQ"):
                self.modseq = int(response.code.split()[1])


def expanded(uid_set: bytes) -> Iterator[int]:
    for low, high in re.findall(rb"([0-9]+)(?::([0-9]+))?", uid_set):
        yield from range(int(low), int(high or low) + 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_cache_is_in_step_after_each_resynchronisation(
    maildir: Path, drive: Drive, seed: int
) -> None:
    """Whatever others did before, during and after a session that broke off somewhere."""
    chance = random.Random(seed)
    for number in range(20):
        deliver(maildir, b"x\n", number=number, flags="")
    others = [drive(), drive()]
    for session in others:
        session.ask("s SELECT INBOX")
    cache = Cache(drive())

    def disturb() -> None:
        session = chance.choice(others)
        session.ask("n NOOP")
        exists = len(session.session.selected.uids)
        flag = chance.choice(["\\Flagged", "\\Deleted", "kw", "\\Seen"])
        commands = ["APPEND INBOX {1+}\r\nx", "UID EXPUNGE 1:*"]
        if exists:
            numbers = f"{chance.randint(1, exists)}:{chance.randint(1, exists)}"
            commands += [f"STORE {numbers} {chance.choice('+-')}FLAGS.SILENT ({flag})"] * 3
            commands.append(f"MOVE {chance.randint(1, exists)} INBOX")
        session.ask(f"d {chance.choice(commands)}")

    for _ in range(12):
        for _ in range(chance.randint(0, 6)):
            disturb()
            if chance.random() < 0.3:
                cache.session.session.changes.look_again()
                cache.do(chance.choice(["NOOP", "FETCH 1:* FLAGS", "UID SEARCH ALL", "CHECK"]))
                cache.uids = cache.session.session.selected.uids.tolist()
        cache.session.close()
        for _ in range(chance.randint(0, 3)):
            disturb()
        cache.connect(drive())

        witness = drive()
        witness.ask("s EXAMINE INBOX")
        truth = fetched(witness.ask("f UID FETCH 1:* FLAGS"))
        assert cache.flags == {
            items["UID"]: frozenset(items["FLAGS"]) - {b"\\Recent"}  # type: ignore[call-overload]
            for items in truth.values()
        }
        witness.close()


@pytest.mark.parametrize(
    "command, tells",
    [
        ("UID SEARCH 1:2 SEEN", False),
        ("UID SEARCH OR NOT 1 SEEN", False),
        ("UID SORT (SIZE) utf-8 1:3", False),
        ("UID THREAD REFERENCES utf-8 (1 ALL)", False),
        ("SEARCH ALL", False),
        ("UID SEARCH ALL", True),
        ("UID SEARCH UID 1:*", True),
    ],
)
@pytest.mark.parametrize("enabled", ["CONDSTORE", "QRESYNC"])
def test_searches_that_name_numbers_keep_them(
    filled: Path, drive: Drive, command: str, tells: bool, enabled: str
) -> None:
    """RFC 7162 3.2.10.2: no removal is told during a UID SEARCH with sequence numbers."""
    one = drive(IMAP_CAPABILITY="IMAP4rev1 SORT THREAD=REFERENCES")
    one.ask(f"e ENABLE {enabled}")
    one.ask("s SELECT INBOX")
    next((filled / "cur").iterdir()).unlink()
    one.session.changes.look_again()

    names = [response.name for response in one.ask(f"a {command}")]

    assert bool({"EXPUNGE", "VANISHED"}.intersection(names)) is tells
    again = [response.name for response in one.ask("n NOOP")]
    assert bool({"EXPUNGE", "VANISHED"}.intersection(again)) is not tells
