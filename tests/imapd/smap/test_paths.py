"""Paths: words to names of folders, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir import tree
from imapd.smap import paths
from tests.imapd.smap.conftest import Drive
from tests.support.maildirs import make_folder

WORDS = st.lists(
    st.text(st.characters(blacklist_categories=("Cs",), min_codepoint=0x20), min_size=1).filter(
        lambda word: "\x7f" not in word
    ),
    min_size=1,
)


@given(WORDS)
def test_there_and_back(words: list[str]) -> None:
    """Each word is one component, whatever it holds, and comes back as it was."""
    folder = ".".join(map(paths._escaped, words))

    assert folder.count(".") == len(words) - 1
    assert "/" not in folder
    assert paths.words(folder) == tuple(words)


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("My Folder", ("My Folder",)),
        ("x\\056y\\057z\\176w\\072v\\134u", ("x.y/z~w:v\\u",)),
        ("日本.sub", ("日本", "sub")),
        ("\\056\\056", ("..",)),
        ("a\\012b\\177", ("a\\012b\\177",)),  # no line can hold these
        ("a\\05", ("a\\05",)),
        ("a\\999", ("a\\999",)),
        ("\udcff", ("\udcff",)),
    ],
)
def test_words(folder: str, words: tuple[str, ...]) -> None:
    assert paths.words(folder) == words


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("",),
        ("inbox",),
        ("Drafts",),
        ("INBOX", "x" * 300),
        ("INBOX", "\udcff"),
        ("public", "x"),
    ],
)
def test_what_is_no_path(drive: Drive, path: tuple[str, ...]) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        paths.find(drive().session, path)


@pytest.mark.parametrize("name", ["a~b", "a~b.c:d", "50%"])
def test_folder_that_is_named_otherwise(drive: Drive, maildir: Path, name: str) -> None:
    """IMAP's names leave as they are what SMAP's escape: by their words they are found all the same."""
    make_folder(maildir, f"INBOX.{name}")
    assert tree.is_name(name)

    found = paths.find(drive().session, ("INBOX", *name.split(".")))

    assert found.exists
    assert found.folder == name
