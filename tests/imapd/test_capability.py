from __future__ import annotations

import pytest

from courier.auth import sasl
from imapd import capability, settings
from imapd.commands import table

SHIPPED = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT SORT QUOTA IDLE"


def listed(*, tls: bool = False, **environ: str) -> list[str]:
    return capability.listed(settings.from_environment(environ), tls=tls).split(" ")


def test_listed() -> None:
    """The administrator's words but those not to be had, then Courier's own, then ours."""
    words = listed(IMAP_CAPABILITY=SHIPPED)

    assert words[:4] == ["IMAP4rev1", "UIDPLUS", "CHILDREN", "NAMESPACE"]
    assert words[4:8] == ["THREAD=ORDEREDSUBJECT", "SORT", "QUOTA", "IDLE"]
    assert words[8:10] == ["ENABLE", "UTF8=ACCEPT"]
    assert {
        "LITERAL+",
        "APPENDLIMIT",
        "MULTIAPPEND",
        "UNSELECT",
        "MOVE",
        "ESEARCH",
        "ESORT",
    } <= set(words[10:])


def test_outbox() -> None:
    """Courier's word for it, with the mailbox."""
    assert "XCOURIEROUTBOX=INBOX.Out.box" in listed(OUTBOX=".Out.box")
    assert not [word for word in listed() if word.startswith("XCOURIER")]


def test_trash() -> None:
    """Courier's word for an EXPUNGE that moves messages."""
    assert "XMAGICTRASH" in listed(IMAP_MOVE_EXPUNGE_TO_TRASH="1")
    assert "XMAGICTRASH" not in listed(IMAP_MOVE_EXPUNGE_TO_TRASH="0")


def test_quota_taken_away() -> None:
    """The same for QUOTA."""
    assert "QUOTA=RES-STORAGE" in listed(IMAP_CAPABILITY=SHIPPED)
    assert not [word for word in listed(IMAP_CAPABILITY="IMAP4rev1") if "QUOTA" in word]
    assert "QUOTA=RES-STORAGE" not in listed(IMAP_CAPABILITY=SHIPPED, IMAP_EXTENSIONS="0")


def test_sort_taken_away() -> None:
    """Who hides SORT hides what belongs to it."""
    words = listed(IMAP_CAPABILITY="IMAP4rev1 IDLE")

    assert not [word for word in words if "SORT" in word or "THREAD" in word]


def test_nothing_set() -> None:
    assert listed()[0] == "IMAP4rev1"


def test_word_of_both() -> None:
    """Each word is said once, where the administrator put it."""
    words = listed(IMAP_CAPABILITY="IMAP4rev1 MOVE IDLE ENABLE")

    assert words[:4] == ["IMAP4rev1", "MOVE", "IDLE", "ENABLE"]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(("tls", "word"), [(False, "AUTH=PLAIN"), (True, "AUTH=EXTERNAL")])
def test_with_tls(tls: bool, word: str) -> None:
    """IMAP_CAPABILITY_TLS counts if there is TLS, and only then."""
    words = listed(
        tls=tls,
        IMAP_CAPABILITY="IMAP4rev1 AUTH=PLAIN",
        IMAP_CAPABILITY_TLS="IMAP4rev1 AUTH=EXTERNAL",
    )

    assert [w for w in words if w.startswith("AUTH=")] == [word]


def test_with_tls_but_no_list_for_it() -> None:
    assert listed(tls=True, IMAP_CAPABILITY="IMAP4rev1 XX")[1] == "XX"


def test_id_is_there_when_it_is_switched_on() -> None:
    """Any value of IMAP_ID_FIELDS does that, 0 too."""
    assert "ID" not in listed()
    assert "ID" in listed(IMAP_ID_FIELDS="0")


def test_extensions_switched_off() -> None:
    """Then Courier's list is all there is, and its capabilities stay in effect."""
    words = listed(IMAP_EXTENSIONS="0")

    assert words == ["IMAP4rev1", "ENABLE", "UTF8=ACCEPT"]


@pytest.mark.parametrize(
    ("word", "commands"),
    [
        ("UIDPLUS", ["UID EXPUNGE"]),
        ("NAMESPACE", ["NAMESPACE"]),
        ("IDLE", ["IDLE"]),
        ("ENABLE", ["ENABLE"]),
        ("UNSELECT", ["UNSELECT"]),
        ("MOVE", ["MOVE", "UID MOVE"]),
        ("ID", ["ID"]),
        ("QUOTA", ["GETQUOTA", "GETQUOTAROOT", "SETQUOTA"]),
        ("SORT", ["SORT", "UID SORT"]),
        ("THREAD=ORDEREDSUBJECT", ["THREAD", "UID THREAD"]),
        ("CONTEXT=SEARCH", ["CANCELUPDATE"]),
        ("MULTISEARCH", ["ESEARCH"]),
        ("UIDBATCHES", ["UIDBATCHES"]),
        ("COMPRESS=DEFLATE", ["COMPRESS"]),
        ("THREAD=REFS", ["THREAD", "UID THREAD"]),
    ],
)
def test_what_is_listed_exists(word: str, commands: list[str]) -> None:
    """No capability without its commands."""
    assert word in listed(IMAP_CAPABILITY=SHIPPED, IMAP_ID_FIELDS="0")
    assert all(command in table.COMMANDS for command in commands)


@pytest.mark.parametrize("word", ["SMAP1", "smap1"])
def test_smap_where_it_is_not_switched_on(word: str) -> None:
    """Though the list of IMAP's words names it."""
    assert word not in listed(IMAP_CAPABILITY=f"IMAP4rev1 {word}")


def test_smap_where_it_is_switched_on() -> None:
    """Behind the administrator's words, and with it what its clients go by. Courier: so."""
    words = listed(IMAP_CAPABILITY=SHIPPED, SMAP_CAPABILITY="SMAP1", IMAP_KEYWORDS="1")

    at = words.index("SMAP1")
    assert words[at - 1 : at + 2] == [SHIPPED.split()[-1], "SMAP1", "KEYWORDS"]
    assert "KEYWORDS" not in listed(SMAP_CAPABILITY="SMAP1", IMAP_KEYWORDS="0")


@pytest.mark.parametrize("hidden", ["UIDPLUS", "CHILDREN", "NAMESPACE", "IDLE"])
def test_part_of_imap4rev2_taken_away(hidden: str) -> None:
    """Who hides something that IMAP4rev2 contains hides it, too."""
    assert "IMAP4rev2" in listed(IMAP_CAPABILITY=SHIPPED)
    assert "IMAP4rev2" not in listed(IMAP_CAPABILITY=SHIPPED.replace(hidden, ""))
    assert "IMAP4rev2" not in listed(IMAP_CAPABILITY=SHIPPED, IMAP_EXTENSIONS="0")


@pytest.mark.parametrize(
    ("shipped", "tls", "offered", "words"),
    [
        ("IMAP4rev1 AUTH=SCRAM-SHA-256", False, ["SCRAM-SHA-256"], ["AUTH=SCRAM-SHA-256"]),
        ("IMAP4rev1 AUTH=SCRAM-SHA-256-PLUS", False, ["SCRAM-SHA-256"], ["AUTH=SCRAM-SHA-256"]),
        (
            "IMAP4rev1 auth=scram-sha-1 AUTH=CRAM-MD5",
            True,
            ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"],
            ["AUTH=CRAM-MD5", "AUTH=SCRAM-SHA-1-PLUS", "AUTH=SCRAM-SHA-1"],
        ),
        ("IMAP4rev1 AUTH=XOAUTH2", False, [], []),
        ("IMAP4rev1 AUTH=XOAUTH2", True, ["XOAUTH2"], ["AUTH=XOAUTH2"]),
    ],
)
def test_mechanisms_in_the_administrator_s_list(
    shipped: str, tls: bool, offered: list[str], words: list[str]
) -> None:
    """A mechanism that depends on the connection stands in the list only where it is to be had."""
    chosen = settings.from_environment({"IMAP_CAPABILITY": shipped})
    binding = (lambda name: b"x") if tls else None

    offer = sasl.offered(capability.mechanisms(chosen), binding)
    told = capability.before_login(
        chosen, tls=tls, offers_tls=False, needs_tls=False, mechanisms=offer.names
    )

    assert offer.names == set(offered)
    assert [word for word in told.split() if word.upper().startswith("AUTH=")] == words


def test_imap4rev2_of_the_administrators() -> None:
    """What his list says can be enabled."""
    given = settings.from_environment(
        {"IMAP_CAPABILITY": "IMAP4rev1 IMAP4rev2", "IMAP_EXTENSIONS": "0"}
    )

    assert capability.has_rev2(given, tls=False)
    assert capability.listed(given, tls=False).split(" ").count("IMAP4rev2") == 1
