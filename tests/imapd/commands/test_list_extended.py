"""LIST as RFC 5258 extends it, with RFC 5819 and RFC 8440."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from courier.process.request import Work
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.responses import Response
from tests.support.maildirs import deliver, make_folder

pytestmark = pytest.mark.usefixtures("logged")

ACL = "IMAP4rev1 ACL"


@pytest.fixture
def fruit(maildir: Path, driven: Driven) -> Driven:
    """The hierarchy of RFC 5258 5, example 1, with the subscriptions of its example 2."""
    for name in (
        *("Fruit", "Fruit.Apple", "Fruit.Banana", "Tofu"),
        *("Vegetable", "Vegetable.Broccoli", "Vegetable.Corn"),
    ):
        make_folder(maildir, f"INBOX.{name}")
    for name in ("Fruit.Banana", "Fruit.Peach", "Vegetable", "Vegetable.Broccoli"):
        driven.ask(f"s SUBSCRIBE INBOX.{name}")
    driven.ask("s SUBSCRIBE INBOX")
    return driven


def told(responses: list[Response]) -> dict[str, str]:
    """Names without their INBOX, each with its attributes; the command must have succeeded."""
    assert responses[-1].name == "OK", responses[-1]
    lists = [one for one in responses if one.name == "LIST"]
    found = {
        one.values[2].decode().removeprefix("INBOX."): b" ".join(one.values[0]).decode()  # type: ignore[attr-defined,arg-type]
        for one in lists
    }
    assert len(found) == len(lists), "a name is told twice"
    return found


def child_info(responses: list[Response]) -> set[str]:
    """Names that were told with CHILDINFO."""
    lists = [one for one in responses if one.name == "LIST" and len(one.values) > 3]
    assert all(one.values[3] == {b"CHILDINFO": [b"SUBSCRIBED"]} for one in lists)
    return {one.values[2].decode().removeprefix("INBOX.") for one in lists}  # type: ignore[attr-defined]


def test_subscribed(fruit: Driven) -> None:
    """RFC 5258 5, example 2: just what is subscribed to, whether it exists or not."""
    responses = fruit.ask('a LIST (SUBSCRIBED) "" "*"')

    assert told(responses) == {
        "INBOX": "\\Unmarked \\HasChildren \\Subscribed",
        "Fruit.Banana": "\\HasNoChildren \\Subscribed",
        "Fruit.Peach": "\\NonExistent \\HasNoChildren \\Subscribed",
        "Vegetable": "\\HasChildren \\Subscribed",
        "Vegetable.Broccoli": "\\HasNoChildren \\Subscribed",
    }
    assert not child_info(responses)


def test_subscribed_adds_no_level(fruit: Driven) -> None:
    """RFC 5258 3.1: exactly those that match and are subscribed to."""
    assert told(fruit.ask('a LIST (SUBSCRIBED) "" "INBOX.%"')) == {
        "Vegetable": "\\HasChildren \\Subscribed"
    }


def test_return_options(fruit: Driven) -> None:
    """They add attributes and no names (RFC 5258 3)."""
    assert told(fruit.ask('a LIST "" "INBOX.%" RETURN (CHILDREN SUBSCRIBED SUBSCRIBED)')) == {
        "Fruit": "\\HasChildren",
        "Tofu": "\\HasNoChildren",
        "Vegetable": "\\HasChildren \\Subscribed",
    }
    assert told(fruit.ask('a LIST () "" "INBOX.T%" RETURN ()')) == {"Tofu": "\\HasNoChildren"}


def test_recursive_match(fruit: Driven) -> None:
    """RFC 5258 5, example 7: a level above what is subscribed to is told with CHILDINFO."""
    responses = fruit.ask('a LIST (SUBSCRIBED RECURSIVEMATCH) "" "INBOX.%"')

    assert told(responses) == {
        "Fruit": "\\HasChildren",
        "Vegetable": "\\HasChildren \\Subscribed",
    }
    assert child_info(responses) == {"Fruit", "Vegetable"}


def test_recursive_match_of_what_does_not_exist(maildir: Path, driven: Driven) -> None:
    """RFC 5258 5, example 7, the last case: nothing of it exists, and the level is told all the same."""
    driven.ask("s SUBSCRIBE INBOX.Meat.Pork")

    responses = driven.ask('a LIST (SUBSCRIBED RECURSIVEMATCH REMOTE) "" "INBOX.%"')

    assert told(responses) == {"Meat": "\\NonExistent \\HasNoChildren"}
    assert child_info(responses) == {"Meat"}


def test_recursive_match_without_what_is_redundant(maildir: Path, driven: Driven) -> None:
    """RFC 5258 5, example 8: no CHILDINFO where the descendants are told of themselves."""
    for name in ("foo2", "foo2.bar1", "foo2.bar2", "baz2", "baz2.bar2", "baz2.bar22", "eps2"):
        make_folder(maildir, f"INBOX.{name}")
    for name in ("eps2.mamba", "qux2.bar2"):
        make_folder(maildir, f"INBOX.{name}")
    for name in ("foo2.bar1", "foo2.bar2", "baz2.bar2", "baz2.bar22", "eps2", "eps2.mamba"):
        driven.ask(f"s SUBSCRIBE INBOX.{name}")
    driven.ask("s SUBSCRIBE INBOX.qux2.bar2")

    responses = driven.ask('a LIST (RECURSIVEMATCH SUBSCRIBED) "" "*2"')

    assert set(told(responses)) == {
        *("foo2", "foo2.bar2", "baz2.bar2", "baz2.bar22", "eps2", "qux2.bar2")
    }
    assert child_info(responses) == {"foo2", "eps2"}


@pytest.mark.parametrize(
    "arguments",
    [
        '(RECURSIVEMATCH) "" "*"',
        '(RECURSIVEMATCH REMOTE) "" "*"',
        '(SUBSCRIBED FOO) "" "*"',
        '(SUBSCRIBED ACL) "" "*"',
        '(SUBSCRIBED "" "*"',
        '"" ()',
        '"" "*" RETURN',
        '"" "*" RETURN CHILDREN',
        '"" "*" RETURN (FOO)',
        '"" "*" RETURN (REMOTE)',
        '"" "*" RETURN (STATUS)',
        '"" "*" RETURN (STATUS (FOO))',
        '"" "*" RETURN (CHILDREN) x',
        '"" "*" (CHILDREN)',
    ],
)
def test_malformed(driven: Driven, arguments: str) -> None:
    """RFC 5258 3 and 3.1: BAD for what is not known, and for RECURSIVEMATCH alone."""
    assert [one.name for one in driven.ask(f"a LIST {arguments}")] == ["BAD"]


def test_patterns(fruit: Driven) -> None:
    """Each name once, however many patterns it fits; an empty one fits nothing (RFC 5258 3)."""
    many = " ".join(f"INBOX.none{number}" for number in range(500))

    found = told(fruit.ask(f'a LIST "" ("" "INBOX.F%" INBOX.Fruit inbox INBOX.*.Corn {many})'))

    assert set(found) == {"INBOX", "Fruit", "Vegetable.Corn"}
    assert told(fruit.ask('a LIST () "" ""')) == {}
    assert told(fruit.ask('a LIST "INBOX" "" RETURN ()')) == {}


def test_too_many_wildcards(fruit: Driven) -> None:
    """A pattern that is not accepted is ignored (RFC 5258 3); there is a limit to all of them."""
    assert set(told(fruit.ask(f'a LIST "" ({"*%" * 6} "INBOX.To%")'))) == {"Tofu"}

    refused = fruit.ask(f'a LIST "" ({" ".join(f"{number}*" for number in range(101))})')

    assert [(one.name, one.code) for one in refused] == [("NO", "LIMIT")]


def test_level(maildir: Path, driven: Driven) -> None:
    """RFC 5258 3.5: a level above others does not exist."""
    make_folder(maildir, "INBOX.p.q")

    assert told(driven.ask('a LIST () "" "INBOX.%"')) == {"p": "\\NonExistent \\HasChildren"}
    assert told(driven.ask('a LIST (REMOTE) "" "INBOX.%"')) == {"p": "\\NonExistent \\HasChildren"}
    assert told(driven.ask('a LIST "" "INBOX.%"')) == {"p": "\\Noselect \\HasChildren"}
    driven.ask("b ENABLE IMAP4rev2")
    assert told(driven.ask('c LIST "" "INBOX.%"')) == {"p": "\\NonExistent \\HasChildren"}
    assert driven.ask('d LIST "" ""')[0].values[0] == [b"\\Noselect"]


def test_children_for_an_obsolete_client(maildir: Path, drive: Drive) -> None:
    """RFC 5258 4: who asks for them gets them, whatever is told to those who don't."""
    driven = drive(IMAP_OBSOLETE_CLIENT="1")

    assert told(driven.ask('a LIST "" INBOX')) == {"INBOX": "\\Unmarked \\Noinferiors"}
    assert told(driven.ask('a LIST "" INBOX RETURN (CHILDREN)')) == {
        "INBOX": "\\Unmarked \\HasNoChildren"
    }


def test_couriers_options(driven: Driven) -> None:
    """ACL2=UNION's options stand in the same place, and mean what they meant."""
    (one, _) = driven.ask('a LIST (ACL MYRIGHTS) "" INBOX')

    assert '("MYRIGHTS" "acdilrsw"))' in one.line


def test_hostile_subscriptions(maildir: Path, driven: Driven) -> None:
    """The file may hold anything; what is told is one name a line, each once."""
    (maildir / "courierimapsubscribed").write_bytes(
        b"INBOX.a\r\nINBOX.a\nINBOX.b\xff\n\n..\nINBOX\ninbox\ninbox.X\nINBOX.X\n#shared.x\nlast\n"
    )

    found = told(driven.ask('a LIST (SUBSCRIBED) "" ("*" "#*")'))

    assert found.keys() >= {"INBOX", "X", "#shared.x"}
    assert found["#shared.x"] == "\\NonExistent \\HasNoChildren \\Subscribed"


# -- RFC 5819 ------------------------------------------------------------------------------


def test_status(maildir: Path, fruit: Driven) -> None:
    """A STATUS behind each LIST of what can be selected; none for what is only a level or a name."""
    deliver(maildir / ".Fruit", b"Subject: x\n\nbody\n", number=1)
    make_folder(maildir, "INBOX.p.q")

    responses = fruit.ask('a LIST "" "INBOX.%" RETURN (STATUS (MESSAGES UNSEEN))')

    assert [(one.name, one.values[-2] if one.name == "STATUS" else "") for one in responses] == [
        *(("LIST", ""), ("STATUS", b"INBOX.Fruit")),
        *(("LIST", ""), ("STATUS", b"INBOX.Tofu")),
        *(("LIST", ""), ("STATUS", b"INBOX.Vegetable")),
        *(("LIST", ""), ("OK", "")),
    ]
    assert responses[1].values[1] == {"MESSAGES": 1, "UNSEEN": 1}


def test_status_with_recursive_match(fruit: Driven) -> None:
    """RFC 5819 3: no STATUS of what is told for the sake of others, nor of what does not exist."""
    responses = fruit.ask('a LIST (SUBSCRIBED RECURSIVEMATCH) "" * RETURN (STATUS (MESSAGES))')

    counted = {one.values[0] for one in responses if one.name == "STATUS"}
    assert counted == {
        *(b"INBOX", b"INBOX.Fruit.Banana", b"INBOX.Vegetable", b"INBOX.Vegetable.Broccoli")
    }


def test_status_of_the_selected_mailbox(maildir: Path, driven: Driven) -> None:
    """It says what this session has been told, and new messages are told before the completion."""
    driven.ask("s SELECT INBOX")
    deliver(maildir, b"Subject: x\n\nbody\n", number=1)

    responses = driven.ask('a LIST "" * RETURN (STATUS (MESSAGES UIDNEXT))')

    assert [one.name for one in responses] == ["LIST", "STATUS", "EXISTS", "RECENT", "OK"]


def test_status_that_may_not_be_read(maildir: Path, drive: Drive) -> None:
    """RFC 5819 2: \\Noselect instead."""
    driven = drive(IMAP_ACL="1")
    make_folder(maildir, "INBOX.closed")
    assert driven.ask("s SETACL INBOX.closed owner al")[-1].name == "OK"

    responses = driven.ask('a LIST "" "INBOX.%" RETURN (STATUS (MESSAGES))')

    assert told(responses) == {"closed": "\\Noselect \\HasNoChildren"}
    assert [one.name for one in responses] == ["LIST", "OK"]


def test_status_of_a_folder_that_is_gone(maildir: Path, driven: Driven) -> None:
    """RFC 5819 2: one that was removed between LIST and STATUS is \\Noselect, and the rest is told."""
    make_folder(maildir, "INBOX.a")
    make_folder(maildir, "INBOX.b")
    counted = 0

    def remove(step: object) -> None:
        nonlocal counted
        counted += isinstance(step, Work)
        if counted == 2:  # the first lists, the second counts
            shutil.rmtree(maildir / ".a", ignore_errors=True)

    driven.before = remove

    responses = driven.ask('a LIST "" "INBOX.%" RETURN (STATUS (MESSAGES))')

    assert told(responses) == {"a": "\\Noselect \\HasNoChildren", "b": "\\HasNoChildren"}
    assert [one.values[0] for one in responses if one.name == "STATUS"] == [b"INBOX.b"]


def test_status_with_highestmodseq(driven: Driven) -> None:
    """RFC 7162 3.1: asking for it enables CONDSTORE."""
    responses = driven.ask('a LIST "" INBOX RETURN (STATUS (HIGHESTMODSEQ))')

    assert responses[1].values[1]["HIGHESTMODSEQ"] > 0  # type: ignore[index]
    assert driven.session.changes.enabled.modseqs


# -- RFC 8438 ------------------------------------------------------------------------------


def test_size(maildir: Path, driven: Driven) -> None:
    """The sum of RFC822.SIZE, with what is in new/, of a mailbox that is selected or not."""
    make_folder(maildir, "INBOX.a")
    for number in range(3):
        deliver(maildir / ".a", b"Subject: x\n\nbody\n" * (number + 1), number=number, flags="S")
    deliver(maildir / ".a", b"Subject: new\n\nbody\n", number=7)

    (before, _) = driven.ask("a STATUS INBOX.a (SIZE MESSAGES)")
    (_, listed, _) = driven.ask('a LIST "" INBOX.a RETURN (STATUS (SIZE))')
    driven.ask("a SELECT INBOX.a")
    sizes = [one.values[0][1] for one in driven.ask("a FETCH 1:* RFC822.SIZE")[:-1]]  # type: ignore[index]
    (selected, _) = driven.ask("a STATUS INBOX.a (SIZE)")

    assert len(sizes) == 4
    assert before.values[1] == {"MESSAGES": 4, "SIZE": sum(sizes)}
    assert listed.values[1] == selected.values[1] == {"SIZE": sum(sizes)}


def test_status_of_the_selected_mailbox_has_numbers_of_one_moment(
    maildir: Path, driven: Driven
) -> None:
    """Those that the client was told: UIDNEXT is not above a message of which it will hear (RFC 9051 2.3.1.1)."""
    driven.ask("a SELECT INBOX")
    deliver(maildir, b"x\n", number=1)

    told, *news = driven.ask("b STATUS INBOX (MESSAGES UIDNEXT)")
    (again, _) = driven.ask("c STATUS INBOX (MESSAGES UIDNEXT)")

    assert told.values[1] == {"MESSAGES": 0, "UIDNEXT": 1}
    assert [one.number for one in news if one.name == "EXISTS"] == [1]
    assert again.values[1] == {"MESSAGES": 1, "UIDNEXT": 2}


def test_size_is_read_once(maildir: Path, driven: Driven) -> None:
    """From then on the index says it: no message file is opened."""
    for number in range(3):
        deliver(maildir, b"Subject: x\n\nbody\n", number=number, flags="S")
    (first, _) = driven.ask("a STATUS INBOX (SIZE)")
    for path in (maildir / "cur").iterdir():
        path.write_bytes(b"")

    (again, _) = driven.ask("b STATUS INBOX (SIZE)")

    assert first.values == again.values
    assert first.values[1]["SIZE"] == 3 * len("Subject: x\r\n\r\nbody\r\n")  # type: ignore[index]


def test_size_of_a_message_that_is_gone(maildir: Path, driven: Driven) -> None:
    """It counts nothing, as it does nowhere else."""
    deliver(maildir, b"Subject: x\n\nbody\n", number=1, flags="S")
    driven.ask("a SELECT INBOX")
    for path in (maildir / "cur").iterdir():
        path.unlink()

    (one, *_) = driven.ask("a STATUS INBOX (SIZE)")

    assert one.values[1] == {"SIZE": 0}


# -- RFC 8440 ------------------------------------------------------------------------------


def test_myrights(maildir: Path, drive: Drive) -> None:
    """MYRIGHTS behind each LIST of a mailbox that is there."""
    driven = drive(IMAP_ACL="1")
    make_folder(maildir, "INBOX.p.q")
    driven.ask("s SUBSCRIBE INBOX.p.q")

    responses = driven.ask('a LIST "" "INBOX.*" RETURN (MYRIGHTS)')
    recursive = driven.ask('a LIST (SUBSCRIBED RECURSIVEMATCH) "" "INBOX.%" RETURN (MYRIGHTS)')

    assert [one.name for one in responses] == ["LIST", "MYRIGHTS", "LIST", "OK"]
    assert responses[1].line == driven.ask("b MYRIGHTS INBOX.p.q")[0].line
    assert [one.name for one in recursive] == ["LIST", "OK"]
