from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.maildirs import make_folder, make_maildir

pytestmark = pytest.mark.usefixtures("logged")

#: Directory names as another program could make them.
ODD = [
    b".a\r\n* BYE forged",
    b".a\nb",
    b".\xff\xfe",
    b".caf\xe9",
    b'."quoted"\\',
    b".(x) {5}",
    b".a..b",
    b".a.",
    b"..a",
    b".\xf0\x9f\x98\x80",
    b".\x01",
]


@pytest.mark.parametrize("utf8", [False, True])
@pytest.mark.parametrize("odd", ODD)
def test_odd_directory(maildir: Path, drive: Drive, odd: bytes, utf8: bool) -> None:
    """It is told quoted or left out; the others are listed whatever it is called."""
    os.makedirs(os.path.join(os.fsencode(maildir), odd, b"cur"))
    make_folder(maildir, "INBOX.z")
    driven = drive(IMAP_CHECK_ALL_FOLDERS="1")
    if utf8:
        driven.ask("s ENABLE UTF8=ACCEPT")

    responses = driven.ask('a LIST "" *')

    assert [r.name for r in responses[-1:]] == ["OK"]
    told = [r.values[2] for r in responses[:-1]]
    assert {b"INBOX", b"INBOX.z"} <= set(told)
    name = odd[1:].decode("utf-8", "replace")
    is_told = odd in (b'."quoted"\\', b".(x) {5}", b".\xf0\x9f\x98\x80", b".\x01")
    assert len(told) == 2 + is_told, (name, told)


def test_what_is_no_folder(maildir: Path, driven: Driven) -> None:
    """Files and directories with a leading dot are left out (Courier lists them)."""
    (maildir / ".bashrc").touch()
    (maildir / ".cache").mkdir()
    (maildir / ".link").symlink_to("nowhere")
    (maildir / ".fifo").mkdir()
    os.mkfifo(maildir / ".fifo" / "cur")

    assert len(driven.ask('a LIST "" *')) == 2


def test_hostile_subscriptions(maildir: Path, driven: Driven) -> None:
    """The file of subscriptions may hold anything; what is told is one name a line."""
    (maildir / "courierimapsubscribed").write_bytes(
        b'INBOX.a"b\\\r\n* BYE forged\n\xff\xfe\n\n.\n..\nINBOX\ninbox.X\n#shared.x\nINBOX.'
        + b"y" * 20_000
        + b"\nlast"
    )

    responses = driven.ask('a LSUB "" *')

    assert {r.name for r in responses} == {"LSUB", "OK"}
    told = [r.values[2] for r in responses[:-1]]
    assert {b"INBOX", b"INBOX.X"} <= set(told)
    assert not {b"#shared.x", b"last"} & set(told)  # others' folders, and no name at all


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ('"" %', ["INBOX"]),
        ('"" i%', ["INBOX"]),
        ('"" inbox.%', ["INBOX.a"]),
        ('"" "INBOX.a.%"', ["INBOX.a.b"]),
        ("INBOX %.%", ["INBOX.a.b"]),
        ("inbox. *", ["INBOX.a.b", "INBOX.a"]),
        ('"" ınbox', []),
        ("elsewhere *", []),
        ('"" "INBOX.A"', []),
    ],
)
def test_patterns(maildir: Path, driven: Driven, arguments: str, names: list[str]) -> None:
    """INBOX in any case, all else as it is; a level above a folder is there too."""
    make_maildir(maildir / ".a.b")
    driven.ask("s ENABLE UTF8=ACCEPT")
    if not arguments.isascii():
        arguments = '"" "ınbox"'

    responses = driven.ask(f"a LIST {arguments}")

    assert [r.values[2] for r in responses[:-1]] == [name.encode() for name in names]


@pytest.mark.parametrize(("wildcards", "names"), [(10, ["LIST", "OK"]), (11, ["OK"])])
def test_wildcards(driven: Driven, wildcards: int, names: list[str]) -> None:
    """Courier takes ten; a pattern with more fits nothing (RFC 9051 6.3.9)."""
    responses = driven.ask(f'a LIST "" {"*%" * (wildcards // 2)}{"*" * (wildcards % 2)}')

    assert [response.name for response in responses] == names


@pytest.mark.parametrize("arguments", ['"" INBOX.a&b*', "INBOX.&AO %"])
def test_pattern_that_is_no_name(driven: Driven, arguments: str) -> None:
    """It fits nothing, and is no error (RFC 9051 6.3.9)."""
    assert [response.name for response in driven.ask(f"a LIST {arguments}")] == ["OK"]
    assert [response.name for response in driven.ask(f"b LSUB {arguments}")] == ["OK"]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("*", ["INBOX.a.b.c"]),
        ("%", ["INBOX"]),
        ("INBOX.%", ["INBOX.a"]),
        ("INBOX.%.%", ["INBOX.a.b"]),
        ("INBOX.a", []),
        ("INBOX.a*", ["INBOX.a.b.c"]),
    ],
)
def test_levels_above_subscriptions(driven: Driven, pattern: str, told: list[str]) -> None:
    """They are told for a "%" at the end alone, as \\Noselect (RFC 3501 6.3.9)."""
    driven.ask("a SUBSCRIBE INBOX.a.b.c")

    responses = driven.ask(f'b LSUB "" "{pattern}"')[:-1]

    assert [response.values[2] for response in responses] == [name.encode() for name in told]
    for response in responses:
        is_level = response.values[2] != b"INBOX.a.b.c"
        assert (b"\\Noselect" in response.values[0]) == is_level  # type: ignore[operator]
