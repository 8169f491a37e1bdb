from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imapd import names


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("INBOX", ""),
        ("inbox", ""),
        ("iNbOx", ""),
        ("INBOX.a", "a"),
        ("inbox.A.b c", "A.b c"),
        ("INBOX.café", "café"),
        ("INBOX.INBOX", "INBOX"),
        ("INBOX." + "x" * 254, "x" * 254),
        ("INBOX.~root", "~root"),
    ],
)
def test_folder(name: str, folder: str) -> None:
    """INBOX in any case, and what is below it as it is."""
    assert names.folder(name) == folder


@pytest.mark.parametrize(
    "name",
    [
        "",
        "foo",
        "INBOXa",
        "INBOX.",
        "INBOX..",
        "INBOX..x",
        "INBOX.x.",
        "INBOX.x..y",
        "INBOX./etc",
        "INBOX.a/b",
        "INBOX.../..",
        "INBOX/..",
        "..",
        "/etc/passwd",
        "INBOX.a\0b",
        "INBOX." + "x" * 255,
        "INBOX." + "é" * 128,
        " INBOX",
        "shared.a",
        # Only ASCII letters have another case here.
        "ınbox",
        "ınbox.a",
        "İNBOX",
        "ⅰnbox",
    ],
)
def test_no_folder(name: str) -> None:
    """Nothing else stands for a directory; nothing leads out of the maildir."""
    assert names.folder(name) is None


@given(st.text() | st.text("INBOXinbox./\0é~"))
def test_folder_never_leaves_the_maildir(name: str) -> None:
    """Whatever is sent: one component of a path, and it comes back under the same name."""
    folder = names.folder(name)
    if folder is None:
        return
    assert "/" not in folder
    assert "\0" not in folder
    assert "." + folder not in ("..", "...") and not folder.startswith(".")
    assert len(("." + folder).encode()) <= 255
    assert names.folder(names.mailbox(folder)) == folder
    assert names.mailbox(folder)[5:] == name[5:]


@pytest.mark.parametrize("utf8", [False, True])
@pytest.mark.parametrize("name", [b"\xff", b"INBOX.\xc3", b"\xed\xa0\x80"])
def test_decode_what_is_no_name(name: bytes, utf8: bool) -> None:
    """A refusal, in either mode."""
    with pytest.raises(names.InvalidName):
        names.decode(name, utf8=utf8)


def test_decode() -> None:
    """An ampersand is an ordinary character once UTF-8 is accepted (RFC 6855 3)."""
    assert names.decode(b"INBOX.caf&AOk-", utf8=False) == "INBOX.café"
    assert names.decode(b"INBOX.caf&AOk-", utf8=True) == "INBOX.caf&AOk-"
    assert names.decode("INBOX.café".encode(), utf8=True) == "INBOX.café"
    with pytest.raises(names.InvalidName):
        names.decode("INBOX.café".encode(), utf8=False)


@pytest.mark.parametrize("utf8", [False, True])
def test_encode_what_no_client_can_be_told(utf8: bool) -> None:
    """None, so that LIST can leave it out."""
    assert names.encode("INBOX.a\r\n* BYE", utf8=utf8) is None
    assert names.encode("INBOX.\udcff", utf8=utf8) is None


@pytest.mark.parametrize(
    "name", ["a\r", "a\n", "\0", "\x1f", "\x7f", "\x80", "\x9f", "\u2028", "\u2029", "\ud800"]
)
def test_not_creatable(name: str) -> None:
    """Control characters and halves of characters never become part of a new name."""
    assert not names.is_creatable(f"INBOX.{name}b")


@pytest.mark.parametrize("name", ["INBOX.a b", "INBOX.é", "INBOX.😀", 'INBOX."\\*%&:~'])
def test_creatable(name: str) -> None:
    assert names.is_creatable(name)


def test_is_shared() -> None:
    """The two name spaces, themselves and below; not what only begins like them."""
    assert all(map(names.is_shared, ("shared", "#shared", "shared.a", "#shared.a.b")))
    assert not any(map(names.is_shared, ("sharedx", "#sharedx", "INBOX.shared", "Shared.a", "")))
