"""MESSAGELIMIT and SAVELIMIT (RFC 9738): one command deals with the messages of the highest UIDs.

The settings allow no limit below 1,000; here one of 3 is put below them.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imapd.message_limit import MessageLimit
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver, make_folder, message_files

pytestmark = pytest.mark.usefixtures("logged")

UIDS = range(2, 15, 2)


@pytest.fixture
def filled(maildir: Path, drive: Drive) -> Driven:
    """UIDs 2, 4, 6, 8, 10, 12 and 14, those that divide by four seen; three in one command."""
    for number in range(1, 15):
        flags = "S" if number % 4 == 0 else "T" * (number % 2)
        deliver(maildir, b"Subject: x%d\n\n" % (number % 3), number=number, flags=flags)
    make_folder(maildir, "INBOX.to")
    other = drive()
    other.ask("s SELECT INBOX")
    other.ask("x EXPUNGE")
    driven = drive()
    driven.ask("s SELECT INBOX")
    driven.session.message_limit = MessageLimit(3)
    return driven


def lines(driven: Driven, command: str) -> list[str]:
    """The untagged responses, and the completion's status and code, without texts."""
    *untagged, last = driven.ask(f"a {command}")
    told = [
        f"* {one.name} [{one.code}]" if one.name in ("OK", "NO") else one.line for one in untagged
    ]
    return [*told, f"{last.name} [{last.code}]" if last.code else last.name]


def fetched(driven: Driven, command: str) -> list[int]:
    """The UIDs of the responses to a UID FETCH, in their order."""
    found = driven.send(f"a {command}\r\n".encode())
    return [int(uid) for uid in re.findall(rb"^\* \d+ FETCH \(UID (\d+)", found, re.M)]


def highest(driven: Driven) -> int:
    """The HIGHESTMODSEQ of INBOX."""
    found = re.search(rb"HIGHESTMODSEQ (\d+)", driven.send(b"h STATUS INBOX (HIGHESTMODSEQ)\r\n"))
    assert found is not None
    return int(found[1])


# -- commands that deal with a part ------------------------------------------------------------


def test_fetch(filled: Driven) -> None:
    """From the highest UID down; the code tells the lowest, below which the client goes on."""
    assert lines(filled, "FETCH 1:* UID") == [
        "* 7 FETCH (UID 14)",
        "* 6 FETCH (UID 12)",
        "* 5 FETCH (UID 10)",
        "OK [MESSAGELIMIT 3 10]",
    ]
    assert lines(filled, "UID FETCH 1:9 FLAGS") == [
        "* 4 FETCH (UID 8 FLAGS (\\Seen))",
        "* 3 FETCH (UID 6 FLAGS ())",
        "* 2 FETCH (UID 4 FLAGS (\\Seen))",
        "OK [MESSAGELIMIT 3 4]",
    ]
    assert lines(filled, "UID FETCH 1:3 FLAGS") == ["* 1 FETCH (UID 2 FLAGS ())", "OK"]


def test_so_many_are_no_more(filled: Driven) -> None:
    """In ascending order then, as ever; UIDs of no message don't count."""
    assert lines(filled, "UID FETCH 1:7 UID")[0] == "* 1 FETCH (UID 2)"
    assert lines(filled, "UID FETCH 1:7 UID")[-1] == "OK"
    assert lines(filled, "UID FETCH 1:9,11:13 UID")[-1] == "OK [MESSAGELIMIT 3 6]"


def test_fetch_from_files(filled: Driven) -> None:
    """What sets \\Seen is in this order, too, and goes no further."""
    assert fetched(filled, "UID FETCH 1:* BODY.PEEK[]") == [14, 12, 10]
    assert fetched(filled, "UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])") == [14, 12, 10]
    filled.ask("b FETCH 1:* BODY[]")

    assert lines(filled, "UID SEARCH 1:3 UNSEEN")[0] == "* SEARCH 2 6"
    assert lines(filled, "UID SEARCH 5:7 SEEN")[0] == "* SEARCH 10 12 14"


def test_fetch_of_messages_that_are_not_all_known(maildir: Path, filled: Driven) -> None:
    """In this order also where one between others is read from its file, or gone."""
    deliver(maildir, b"Subject: \xff\n\n", number=20, flags="")
    deliver(maildir, b"Subject: y\n" + b"X: y\n" * 30_000 + b"\n", number=21, flags="")
    deliver(maildir, b"Subject: z\n\n", number=22, flags="")
    deliver(maildir, b"Subject: z\n\n", number=23, flags="")
    filled.ask("b NOOP")
    filled.session.message_limit = MessageLimit(7)
    for path in (maildir / "cur").iterdir():
        if ".M22P" in path.name:
            path.unlink()

    for items in ("ENVELOPE", "BODY.PEEK[HEADER.FIELDS (X)]", "(FLAGS ENVELOPE PREVIEW)"):
        assert fetched(filled, f"UID FETCH 1:* {items}") == [18, 16, 15, 14, 12, 10]


def test_fetch_of_changes(filled: Driven) -> None:
    """Of more messages, CHANGEDSINCE may name up to the limit."""
    start = highest(filled)
    for uid in (4, 8, 12):
        filled.ask(f"b UID STORE {uid} +FLAGS.SILENT (\\Flagged)")

    assert fetched(filled, f"UID FETCH 1:* UID (CHANGEDSINCE {start})") == [4, 8, 12]
    filled.ask("b UID STORE 2 +FLAGS.SILENT (\\Flagged)")

    assert fetched(filled, f"UID FETCH 1:* UID (CHANGEDSINCE {start})") == [12, 8, 4]
    assert lines(filled, f"UID FETCH 1:* UID (CHANGEDSINCE {start})")[-1] == (
        "OK [MESSAGELIMIT 3 4]"
    )


def test_vanished_are_no_messages(maildir: Path, filled: Driven) -> None:
    """They are told of the whole set that was asked for."""
    filled.ask("e ENABLE QRESYNC")

    found = lines(filled, "UID FETCH 1:* UID (CHANGEDSINCE 1 VANISHED)")

    assert found[0] == "* VANISHED (EARLIER) 1,3,5,7,9,11,13"
    assert len(found) == 5 and found[-1] == "OK [MESSAGELIMIT 3 10]"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("1:3", [2, 4, 6]),
        ("-1:-3", [10, 12, 14]),
        ("-3:-1", [10, 12, 14]),
        ("6:8", [12, 14]),
    ],
)
def test_page(filled: Driven, page: str, expected: list[int]) -> None:
    """PARTIAL is how a client asks for no more than it may."""
    assert fetched(filled, f"UID FETCH 1:* FLAGS (PARTIAL {page})") == expected


@pytest.mark.parametrize("page", ["1:4", "4:1", "-1:-4", "6:4294967295", "5:8"])
def test_page_of_too_many(filled: Driven, page: str) -> None:
    """What it names counts, not what there is."""
    found = lines(filled, f"UID FETCH 1:* (FLAGS MODSEQ) (PARTIAL {page})")

    assert found == ["NO [MESSAGELIMIT 3]"]


def test_store(filled: Driven) -> None:
    assert lines(filled, "STORE 1:* +FLAGS (\\Flagged)") == [
        "* 7 FETCH (FLAGS (\\Flagged))",
        "* 6 FETCH (FLAGS (\\Flagged \\Seen))",
        "* 5 FETCH (FLAGS (\\Flagged))",
        "OK [MESSAGELIMIT 3 10]",
    ]
    assert lines(filled, "UID STORE 1:8 +FLAGS.SILENT (\\Flagged)") == ["OK [MESSAGELIMIT 3 4]"]
    assert lines(filled, "UID SEARCH 1:3 UNFLAGGED")[0] == "* SEARCH 2"


def test_store_of_what_has_changed(filled: Driven) -> None:
    """The OK needs its code for MODIFIED: MESSAGELIMIT comes in an untagged NO before it."""
    found = lines(filled, "UID STORE 1:* (UNCHANGEDSINCE 1) +FLAGS (\\Flagged)")

    assert found[-2:] == ["* NO [MESSAGELIMIT 3 10]", "OK [MODIFIED 10,12,14]"]


def test_fetch_of_removed_messages(maildir: Path, filled: Driven) -> None:
    """And for EXPUNGEISSUED."""
    for path in (maildir / "cur").iterdir():
        if ".M14P" in path.name:
            path.unlink()

    found = lines(filled, "FETCH 1:* BODY.PEEK[TEXT]")

    assert found == [
        "* 6 FETCH (BODY[TEXT] {0}\r\n)",
        "* 5 FETCH (BODY[TEXT] {0}\r\n)",
        "* NO [MESSAGELIMIT 3 10]",
        "OK [EXPUNGEISSUED]",
    ]


def test_move(maildir: Path, filled: Driven) -> None:
    """Repeated, it moves all; the copies are in the order that the messages had."""
    found = lines(filled, "UID MOVE 1:* INBOX.to")

    assert found[0].startswith("* OK [COPYUID ") and found[0].endswith(" 10,12,14 1:3]")
    assert found[1:4] == ["* 5 EXPUNGE"] * 3
    assert found[-1] == "OK [MESSAGELIMIT 3 10]"
    assert lines(filled, "MOVE 1:* INBOX.to")[-1] == "OK [MESSAGELIMIT 3 4]"
    assert lines(filled, "MOVE 1:* INBOX.to")[-1] == "OK"
    assert len(message_files(maildir / ".to")) == 7


def test_uid_expunge(filled: Driven) -> None:
    """Messages with \\Deleted count, and no others."""
    filled.ask("b UID STORE 4,8 +FLAGS.SILENT (\\Deleted)")
    filled.ask("b UID STORE 2,14 +FLAGS.SILENT (\\Deleted)")

    assert lines(filled, "UID EXPUNGE 1:*") == [
        "* 2 EXPUNGE",
        "* 3 EXPUNGE",
        "* 5 EXPUNGE",
        "* 4 EXISTS",
        "* 0 RECENT",
        "OK [MESSAGELIMIT 3 4]",
    ]
    assert lines(filled, "UID EXPUNGE 1:*")[0::3] == ["* 1 EXPUNGE", "OK"]


def test_with_qresync(filled: Driven) -> None:
    """The OK needs its code for HIGHESTMODSEQ."""
    filled.ask("e ENABLE QRESYNC")
    for some in ("2:6", "8:12"):
        filled.ask(f"b UID STORE {some} +FLAGS.SILENT (\\Deleted)")

    found = lines(filled, "UID EXPUNGE 1:*")

    assert found[0] == "* VANISHED 8,10,12"
    assert found[-2] == "* NO [MESSAGELIMIT 3 8]"
    assert found[-1].startswith("OK [HIGHESTMODSEQ ")


def test_with_uidonly(filled: Driven) -> None:
    filled.ask("e ENABLE UIDONLY")

    assert lines(filled, "UID FETCH 1:* FLAGS") == [
        "* 14 UIDFETCH (FLAGS ())",
        "* 12 UIDFETCH (FLAGS (\\Seen))",
        "* 10 UIDFETCH (FLAGS ())",
        "OK [MESSAGELIMIT 3 10]",
    ]


# -- SEARCH ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("SEARCH ALL", ["* SEARCH 7 6 5", "OK [MESSAGELIMIT 3 10]"]),
        ("UID SEARCH ALL", ["* SEARCH 14 12 10", "OK [MESSAGELIMIT 3 10]"]),
        ("UID SEARCH SEEN", ["* SEARCH 12", "OK [MESSAGELIMIT 3 10]"]),
        ("UID SEARCH SEEN SUBJECT x1", ["* SEARCH", "OK [MESSAGELIMIT 3 10]"]),
        ("UID SEARCH UID 1:9 SEEN", ["* SEARCH 8 4", "OK [MESSAGELIMIT 3 4]"]),
        ("UID SEARCH UID 1:6 SEEN", ["* SEARCH 4", "OK"]),
        ("UID SEARCH 1:4 SEEN", ["* SEARCH 8 4", "OK [MESSAGELIMIT 3 4]"]),
        ("UID SEARCH 1:3 SEEN", ["* SEARCH 4", "OK"]),
        ("UID SEARCH UIDBEFORE 8 SEEN", ["* SEARCH 4", "OK"]),
        ("UID SEARCH UIDBEFORE 9 SEEN", ["* SEARCH 8 4", "OK [MESSAGELIMIT 3 4]"]),
        ("UID SEARCH UIDAFTER 8", ["* SEARCH 10 12 14", "OK"]),
        ("UID SEARCH UIDAFTER 7", ["* SEARCH 14 12 10", "OK [MESSAGELIMIT 3 10]"]),
        ("UID SEARCH (UIDAFTER 3 UIDBEFORE 9) UNSEEN", ["* SEARCH 6", "OK"]),
        ("UID SEARCH UID 2,6,10,14 UIDBEFORE 14", ["* SEARCH 2 6 10", "OK"]),
        ("UID SEARCH UID 2,6,10,14", ["* SEARCH 14 10 6", "OK [MESSAGELIMIT 3 6]"]),
        ("UID SEARCH NOT UID 3:14", ["* SEARCH", "OK [MESSAGELIMIT 3 10]"]),
        ("UID SEARCH OR UID 2 UID 14", ["* SEARCH 14", "OK [MESSAGELIMIT 3 10]"]),
    ],
)
def test_search(filled: Driven, command: str, expected: list[str]) -> None:
    """Messages that are searched count: those that numbers and UIDs leave, before other keys."""
    assert lines(filled, command) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("COUNT MIN MAX", {"MIN": 10, "MAX": 14, "COUNT": 3}),
        ("ALL", {"ALL": b"10,12,14"}),
        ("", {"ALL": b"10,12,14"}),
        ("PARTIAL 1:2", {"PARTIAL": (b"1:2", b"10,12")}),
        ("PARTIAL -1:-9", {"PARTIAL": (b"-1:-9", b"10,12,14")}),
    ],
)
def test_extended_search(filled: Driven, options: str, expected: dict[str, object]) -> None:
    """Of those that were searched."""
    found = filled.ask(f"a UID SEARCH RETURN ({options}) ALL")

    assert found[0].values[2] == expected
    assert found[-1].code == "MESSAGELIMIT 3 10"


def test_search_of_modseqs(filled: Driven) -> None:
    """The MODSEQ is of those that are told, and at the end."""
    filled.ask("b UID STORE 12 +FLAGS.SILENT (\\Flagged)")
    modseq = highest(filled)
    filled.ask("b UID STORE 2 +FLAGS.SILENT (\\Flagged)")

    assert f"* SEARCH 14 12 10 (MODSEQ {modseq})" in lines(filled, "UID SEARCH MODSEQ 1")


def test_saved_result(filled: Driven) -> None:
    """3.4: what was found among those that were searched, and a later command has to leave none out."""
    assert lines(filled, "SEARCH RETURN (SAVE) ALL") == ["OK [MESSAGELIMIT 3 10]"]
    assert lines(filled, "UID SEARCH RETURN (ALL) $")[-1] == "OK"
    assert fetched(filled, "FETCH $ UID") == [10, 12, 14]


def test_changes_of_a_search(maildir: Path, filled: Driven) -> None:
    """UPDATE tells of the messages that were searched and of new ones, not of those that were left out."""
    filled.ask("u UID SEARCH RETURN (UPDATE COUNT) UNFLAGGED")
    filled.ask("b UID STORE 2 +FLAGS.SILENT (\\Flagged)")
    assert lines(filled, "UID STORE 2 -FLAGS.SILENT (\\Flagged)") == ["OK"]
    assert lines(filled, "UID STORE 12 +FLAGS.SILENT (\\Flagged)") == [
        '* ESEARCH (TAG "u") UID REMOVEFROM (0 12)',
        "OK",
    ]
    deliver(maildir, b"Subject: new\n\n", number=99, flags="")
    filled.session.changes.look_again()

    assert '* ESEARCH (TAG "u") UID ADDTO (0 15)' in lines(filled, "NOOP")


def test_other_mailboxes(filled: Driven) -> None:
    """ESEARCH has no limit: a UID would not say in which mailbox."""
    found = filled.ask("a ESEARCH IN (personal) RETURN (COUNT) ALL")

    assert {"COUNT": 7} in found[0].values and found[-1].code == ""


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
@pytest.mark.parametrize("asked", ["ALL", "SEEN", "UID 3:13 UNSEEN", "3:6", "SUBJECT x1"])
def test_all_pages_together(filled: Driven, limit: int, asked: str) -> None:
    """A client that goes on below the UID that it was told finds what there is."""
    filled.session.message_limit = MessageLimit(0)
    everything = filled.ask(f"a UID SEARCH {asked}")[0].values
    filled.session.message_limit = MessageLimit(limit)
    found: list[object] = []
    below = ""
    for _ in UIDS:
        untagged, completion = filled.ask(f"a UID SEARCH {asked}{below}")
        found += untagged.values
        if not completion.code:
            break
        below = f" UIDBEFORE {completion.code.split()[-1]}"

    assert not completion.code
    assert sorted(found) == list(everything)  # type: ignore[type-var]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(1, 16), min_size=1, max_size=5), st.integers(1, 8))
def test_any_set(filled: Driven, numbers: list[int], limit: int) -> None:
    """The messages of the highest UIDs, and the lowest of these; none is left out without a word."""
    filled.session.message_limit = MessageLimit(limit)
    ranges = list(itertools.pairwise(numbers)) or [(numbers[0], numbers[0])]
    ranges = [(min(pair), max(pair)) for pair in ranges]
    expected = sorted({uid for low, high in ranges for uid in UIDS if low <= uid <= high})
    text = ",".join(f"{low}:{high}" for low, high in ranges)

    found = fetched(filled, f"UID FETCH {text} UID")
    completion = lines(filled, f"UID FETCH {text} UID")[-1]

    if len(expected) > limit:
        assert found == expected[: -limit - 1 : -1]
        assert completion == f"OK [MESSAGELIMIT {limit} {expected[-limit]}]"
    else:
        assert (found, completion) == (expected, "OK")


# -- commands that do all or nothing -----------------------------------------------------------


@pytest.fixture(params=[MessageLimit(3), MessageLimit(0, 3), MessageLimit(3, 9)])
def saving(request: pytest.FixtureRequest, filled: Driven) -> Driven:
    """With either limit; MESSAGELIMIT is the one that clients are told of."""
    filled.session.message_limit = request.param
    return filled


def test_copy(maildir: Path, saving: Driven) -> None:
    """The UID is the lowest that would fit."""
    assert lines(saving, "COPY 1:* INBOX.to") == ["NO [MESSAGELIMIT 3 10]"]
    assert lines(saving, "UID COPY 1:9 INBOX.to") == ["NO [MESSAGELIMIT 3 4]"]
    assert message_files(maildir / ".to") == {}
    assert lines(saving, "UID COPY 10:* INBOX.to")[-1].startswith("OK [COPYUID ")
    assert len(message_files(maildir / ".to")) == 3


def test_append(maildir: Path, saving: Driven) -> None:
    """The fourth message is not asked for."""
    sent = saving.send(b"a APPEND INBOX.to {1+}\r\nx {1+}\r\ny {1+}\r\nz {1}\r\n")

    assert sent.startswith(b"a NO [MESSAGELIMIT 3] ")
    assert message_files(maildir / ".to") == {}
    sent = saving.send(b"b APPEND INBOX.to {1+}\r\nx {1+}\r\ny {1+}\r\nz\r\n")
    assert sent.startswith(b"b OK [APPENDUID ")


@pytest.mark.parametrize(
    "command",
    [
        "SORT (SUBJECT) UTF-8 ALL",
        "UID SORT RETURN (COUNT) (SUBJECT) UTF-8 SEEN",
        "THREAD REFERENCES UTF-8 ALL",
        "UID THREAD ORDEREDSUBJECT UTF-8 UIDBEFORE 9",
    ],
)
def test_sort_and_thread(filled: Driven, command: str) -> None:
    """3.3: the newest messages alone have no order among all."""
    assert lines(filled, command) == ["NO [MESSAGELIMIT 3]"]


def test_sort_and_thread_of_few(filled: Driven) -> None:
    assert lines(filled, "UID SORT (REVERSE ARRIVAL) UTF-8 UIDAFTER 8") == [
        "* SORT 14 12 10",
        "OK",
    ]
    assert lines(filled, "UID THREAD REFERENCES UTF-8 UID 1:5")[-1] == "OK"


def test_refused_sort_saves_nothing(filled: Driven) -> None:
    """RFC 5182 2.1: after a NO ``$`` is empty."""
    filled.ask("b SEARCH RETURN (SAVE) UID 2:6")

    assert lines(filled, "SORT RETURN (SAVE) (SUBJECT) UTF-8 ALL")[-1] == "NO [MESSAGELIMIT 3]"
    assert lines(filled, "UID SEARCH $") == ["* SEARCH", "OK"]


# -- what has no limit -------------------------------------------------------------------------


def test_expunge_and_close(maildir: Path, filled: Driven) -> None:
    filled.ask("b UID STORE 2:6 +FLAGS.SILENT (\\Deleted)")
    filled.ask("b UID STORE 8:10 +FLAGS.SILENT (\\Deleted)")

    assert lines(filled, "EXPUNGE")[-1] == "OK"
    assert len(message_files(maildir)) == 2
    filled.session.message_limit = MessageLimit(1)
    for uid in (12, 14):
        filled.ask(f"b UID STORE {uid} +FLAGS.SILENT (\\Deleted)")

    assert lines(filled, "CLOSE") == ["OK"]
    assert message_files(maildir) == {}


def test_status(filled: Driven) -> None:
    found = filled.ask("a STATUS INBOX (UNSEEN DELETED MESSAGES SIZE)")

    assert found[0].values[1]["UNSEEN"] == 4  # type: ignore[index]
    assert found[-1].code == ""


def test_save_limit_alone(filled: Driven) -> None:
    """MOVE and all that reads go on without limit; UIDAFTER is understood all the same."""
    filled.session.message_limit = MessageLimit(0, 3)

    assert len(lines(filled, "FETCH 1:* UID")) == 8
    assert lines(filled, "UID SEARCH UIDAFTER 2")[-1] == "OK"
    assert lines(filled, "SORT (SUBJECT) UTF-8 ALL")[-1] == "OK"
    assert lines(filled, "MOVE 1:* INBOX.to")[-1] == "OK"


def test_the_next_command_starts_afresh(filled: Driven) -> None:
    """One that fails on its way says nothing of the one before it."""
    lines(filled, "FETCH 1:* UID")

    assert lines(filled, "NOOP") == ["OK"]
    assert lines(filled, "UID MOVE 1:* INBOX.nowhere") == ["NO [TRYCREATE]"]
    assert lines(filled, "UID MOVE 14 INBOX.to")[-1] == "OK"


# -- search keys, capability -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("UIDAFTER 9", [10, 12, 14]),
        ("UIDAFTER 10", [12, 14]),
        ("UIDAFTER 14", []),
        ("UIDAFTER 4294967295", []),
        ("UIDAFTER 4294967294", []),
        ("UIDBEFORE 1", []),
        ("UIDBEFORE 6", [2, 4]),
        ("UIDBEFORE 4294967295", [*UIDS]),
        ("NOT UIDAFTER 4", [2, 4]),
        ("OR UIDBEFORE 3 UIDAFTER 13", [2, 14]),
        ("uidafter 3 Uidbefore 9 SEEN", [4, 8]),
    ],
)
def test_uidafter_and_uidbefore(filled: Driven, keys: str, expected: list[int]) -> None:
    filled.session.message_limit = MessageLimit(0)

    assert list(filled.ask(f"a UID SEARCH {keys}")[0].values) == expected


@pytest.mark.parametrize("argument", ["", " 0", " 1:2", " *", " $", " 4294967296", " x", " (1)"])
@pytest.mark.parametrize("key", ["UIDAFTER", "UIDBEFORE"])
def test_no_uid(filled: Driven, key: str, argument: str) -> None:
    assert lines(filled, f"UID SEARCH {key}{argument}") == ["BAD"]


@pytest.mark.parametrize(
    ("given_settings", "announced"),
    [
        ({}, set()),
        ({"IMAP_MESSAGELIMIT": "1000"}, {"MESSAGELIMIT=1000"}),
        ({"IMAP_SAVELIMIT": "2000"}, {"SAVELIMIT=2000"}),
        ({"IMAP_MESSAGELIMIT": "5000", "IMAP_SAVELIMIT": "1000"}, {"MESSAGELIMIT=5000"}),
        ({"IMAP_MESSAGELIMIT": "1000", "IMAP_EXTENSIONS": "0"}, set()),
    ],
)
def test_announced(drive: Drive, given_settings: dict[str, str], announced: set[str]) -> None:
    """Never both."""
    words = drive(**given_settings).send(b"a CAPABILITY\r\n").decode().split()

    assert {word for word in words if "LIMIT=" in word} == announced


def test_no_limit_that_clients_are_not_told_of(maildir: Path, drive: Drive) -> None:
    for number in range(1, 1002):
        deliver(maildir, b"Subject: x\n\n", number=number, flags="")
    for extensions, code in (("1", "MESSAGELIMIT 1000 2"), ("0", "")):
        driven = drive(IMAP_MESSAGELIMIT="1000", IMAP_EXTENSIONS=extensions)
        driven.ask("s SELECT INBOX")

        assert driven.ask("a FETCH 1:* UID")[-1].code == code
