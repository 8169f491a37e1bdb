from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir import acl
from courier.maildir.acl import Acl, Identity, InvalidAcl

ALICE = Identity("alice", frozenset({"staff"}))
_WORD = st.text(st.characters(min_codepoint=0x21, blacklist_characters="\x7f"), min_size=1)


def entries(*pairs: tuple[str, str]) -> Acl:
    return Acl((("owner", acl.ALL), ("administrators", acl.ALL), *pairs))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"owner al\nadministrators aceilrstwx\n", (("owner", "al"), ("administrators", acl.ALL))),
        (b"owner   la\n", (("owner", "al"), ("administrators", acl.ALL))),
        (b"anyone rrl\n", (("anyone", "lr"), ("administrators", acl.ALL))),
        (b"user=x k\n", (("user=x", "k"), ("administrators", acl.ALL))),
        # The same identifier again: last wins, first position.
        (b"a=1 l\nb=2 r\na=1 w\n", (("a=1", "w"), ("b=2", "r"), ("administrators", acl.ALL))),
        # Courier 5: a file with CR LF loses all its entries.
        (b"owner aceilrstwx\r\nanyone lr\r\n", (("administrators", acl.ALL),)),
        (b"user=a b lr\n", (("administrators", acl.ALL),)),
        (b"\n \nowner\n lr\n", (("administrators", acl.ALL),)),
        (b"group=administrators l\n", (("group=administrators", acl.ALL),)),
        (b"administrators l\ngroup=administrators l\n", (("group=administrators", acl.ALL),)),
        (
            b"-administrators lrs\n",
            (("-administrators", "rs"), ("administrators", acl.ALL)),
        ),
        (b"", (("administrators", acl.ALL),)),
        (b"user=\xff lr", (("user=\udcff", "lr"), ("administrators", acl.ALL))),
    ],
)
def test_parse(text: bytes, found: tuple[tuple[str, str], ...]) -> None:
    """What Courier reads is read, what it passes over is passed over, administrators keep all."""
    assert acl.parse(text).entries == found


@given(st.dictionaries(_WORD, st.text("aceilrstwx", min_size=1), max_size=5))
def test_what_is_written_is_read(found: dict[str, str]) -> None:
    """Every list that may be written comes back as it was."""
    wanted = entries()
    for identifier, rights in found.items():
        wanted = wanted.with_rights(identifier, rights)
    try:
        acl.check(wanted)
    except InvalidAcl:
        return

    assert set(wanted.entries) <= set(acl.parse(acl.write(wanted)).entries)


@pytest.mark.parametrize(
    ("more", "is_owner", "rights"),
    [
        ((), True, acl.ALL),
        ((), False, ""),
        ((("anyone", "lr"),), False, "lr"),
        ((("anonymous", "l"), ("user=alice", "r")), False, "lr"),
        ((("user=bob", "lr"),), False, ""),
        ((("group=staff", "lrs"), ("-user=alice", "s")), False, "lr"),
        ((("-group=staff", "l"), ("anyone", "lr")), False, "r"),
        ((("-owner", "aceilrstwx"),), True, "a"),
        ((("-owner", "lr"), ("anyone", "lr")), False, "lr"),
        ((("user=alic", "lr"), ("user=alice2", "lr"), ("alice", "lr")), False, ""),
        ((("authuser", "lr"),), False, ""),
    ],
)
def test_rights(more: tuple[tuple[str, str], ...], is_owner: bool, rights: str) -> None:
    """The union of what is given less the union of what is taken; the owner keeps ``a``."""
    assert acl.rights(entries(*more), ALICE, is_owner=is_owner) == rights


def test_administrators() -> None:
    """Members of the group are administrators under both names."""
    administrator = Identity("root", frozenset({"administrators"}))

    assert acl.rights(entries(), administrator, is_owner=False) == acl.ALL
    assert acl.rights(acl.parse(b""), administrator, is_owner=False) == acl.ALL
    named = acl.parse(b"group=administrators lr\n-user=root t\n")
    assert acl.rights(named, administrator, is_owner=False) == "aceilrswx"


@pytest.mark.parametrize(
    ("rights", "change", "result"),
    [
        ("lr", "s", "s"),
        ("lr", "+s", "lrs"),
        ("lrs", "-s", "lr"),
        ("lr", "-", "lr"),
        ("lr", "", ""),
        ("lr", "+rl", "lr"),
    ],
)
def test_changed(rights: str, change: str, result: str) -> None:
    """Signs add and take; without one the rights are replaced."""
    assert acl.changed(rights, change) == result


@pytest.mark.parametrize(
    ("refused", "subject"),
    [
        (entries().with_rights("owner", "lr"), "owner"),
        (entries().with_rights("owner", "ar"), "owner"),
        (entries().without("owner"), "owner"),
        (entries(("-owner", "l")), "owner"),
        (entries(("-user=bob", "a")), "owner"),
        (entries().with_rights("administrators", "al"), "administrators"),
        (entries(("-administrators", "r")), "administrators"),
        (entries(("group=administrators", "lr")), "administrators"),
        (entries(("user=a b", "lr")), "user=a b"),
        (entries(("user=a\nowner", "lr")), "user=a\nowner"),
        (entries(("user=", "lr")), "user="),
        (entries(("-", "lr")), "-"),
        (entries(("", "lr")), ""),
        (entries(("user=x", "l r")), "user=x"),
        (entries(("user=" + "x" * 8192, "lr")), "user=" + "x" * 8192),
    ],
)
def test_refused(refused: Acl, subject: str) -> None:
    """Nobody locks the owner or administrators out, and no entry is read back as another one."""
    with pytest.raises(InvalidAcl) as caught:
        acl.check(refused, "bob")

    assert caught.value.subject == subject


def test_accepted() -> None:
    """What leaves owner and administrators what they need may be written."""
    acl.check(acl.DEFAULT, "bob")
    acl.check(entries(("user=x y".replace(" ", ""), "dk"), ("anyone", "")), "bob")
    acl.check(Acl((("owner", "al"), ("group=administrators", acl.ALL))))
