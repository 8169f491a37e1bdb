"""Replies on the socket, by the exchanges captured from Courier's authdaemond."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.auth import reply
from courier.auth.account import Account, Secret
from courier.auth.reply import Changed, NoAccount, Reader, Rejected

VIRTUAL = Account(
    address="vm1@example.com",
    gid=5000,
    home="/home/vmail/vm1",
    uid=5000,
    maildir="/home/vmail/vm1/Maildir",
    quota="1000000S",
    fullname="V M One",
    passwd=Secret(b"$1$a7tOQywY$tCGKb4xUORKfgL8666FRu/"),
    clear=Secret(b"secret"),
    options="disableimap=0,group=staff",
)
VIRTUAL_DATA = (
    b"UID=5000\nGID=5000\nHOME=/home/vmail/vm1\nADDRESS=vm1@example.com\nNAME=V M One\n"
    b"MAILDIR=/home/vmail/vm1/Maildir\nQUOTA=1000000S\nPASSWD=$1$a7tOQywY$tCGKb4xUORKfgL8666FRu/\n"
    b"PASSWD2=secret\nOPTIONS=disableimap=0,group=staff\n.\n"
)
SYSTEM = Account("alice", 1001, "/home/alice", username="alice", fullname="Alice Example")
SYSTEM_DATA = b"USERNAME=alice\nGID=1001\nHOME=/home/alice\nADDRESS=alice\nNAME=Alice Example\n.\n"


@pytest.mark.parametrize(("account", "data"), [(VIRTUAL, VIRTUAL_DATA), (SYSTEM, SYSTEM_DATA)])
def test_account(account: Account, data: bytes) -> None:
    """The attributes in Courier's order; read octet by octet, it is whole at its end alone."""
    assert reply.encode(account) == data

    reader = Reader()
    found = [reader.feed(data[i : i + 1]) for i in range(len(data))]
    assert found == [None] * (len(data) - 1) + [account]


def test_value_ends_where_it_would_begin_a_line() -> None:
    """A line feed in a database adds no attribute, a NUL hides none."""
    account = Account("a\nUID=0", 5, "/h\0x", uid=7)

    assert reply.encode(account) == b"UID=7\nGID=5\nHOME=/h\nADDRESS=a\n.\n"


def test_octets_that_are_no_utf8_come_back() -> None:
    data = b"UID=7\nGID=5\nHOME=/h\xe9\nADDRESS=m\xfcller\n.\n"

    assert reply.encode(reply.decode(data)) == data


@pytest.mark.parametrize(("data", "outcome"), [(b"FAIL\n", Rejected()), (b"OK\n", Changed())])
def test_short_replies(data: bytes, outcome: object) -> None:
    assert Reader().feed(data) == outcome


def test_unknown_and_repeated_attributes() -> None:
    """What has no name or no meaning is skipped, the last of a name counts, HOME may be missing."""
    found = reply.decode(b"UID=1\nrubbish\nX=y\nUID=2\nGID=3\nADDRESS=a\nNAME=\n.\nUID=9\n.\n")

    assert found == Account("a", 3, "", uid=2, fullname="")


@pytest.mark.parametrize(
    "data",
    [
        b".\n",
        b"UID=1\nGID=1\nHOME=/\n.\n",
        b"UID=1\nGID=1\nHOME=/\nADDRESS=\n.\n",
        b"GID=1\nHOME=/\nADDRESS=a\n.\n",
        b"UID=1\nHOME=/\nADDRESS=a\n.\n",
        b"UID=nobody\nGID=1\nADDRESS=a\n.\n",
        b"UID=-1\nGID=1\nADDRESS=a\n.\n",
        b"UID=\nGID=1\nADDRESS=a\n.\n",
        b"UID= 1\nGID=1\nADDRESS=a\n.\n",
        b"x" * 8192,
    ],
)
def test_what_is_no_account(data: bytes) -> None:
    """Nobody becomes root because of a word where a number is expected."""
    with pytest.raises(NoAccount):
        Reader().feed(data)


@pytest.mark.parametrize(
    ("line", "account"),
    [
        (
            b"vm1@example.com\t5000\t5001\t/home/vmail/vm1\t/m\tdisableimap=0",
            Account("vm1@example.com", 5001, "/home/vmail/vm1", uid=5000, maildir="/m",
                    options="disableimap=0"),
        ),
        (b"alice\t1001\t1001\t/home/alice\t\t", Account("alice", 1001, "/home/alice", uid=1001)),
        (b"a\t1\t2", Account("a", 2, "", uid=1)),
        (b"# authpam", None),
        (b"", None),
        (b"root\t0\t0\t/root\t\t", None),
        (b"wheel\t5\t0\t/\t\t", None),
        (b"\t5\t5\t/\t\t", None),
        (b"a\tx\t5\t/\t\t", None),
    ],
)  # fmt: skip
def test_listed(line: bytes, account: Account | None) -> None:
    assert reply.decode_listed(line) == account


def test_encode_listed() -> None:
    line = reply.encode_listed(VIRTUAL)

    assert line == (
        b"vm1@example.com\t5000\t5000\t/home/vmail/vm1\t/home/vmail/vm1/Maildir\t"
        b"disableimap=0,group=staff\n"
    )


@given(st.binary(max_size=300))
def test_any_octets_are_a_reply_or_none(data: bytes) -> None:
    """Nothing but NoAccount is ever raised."""
    try:
        Reader().feed(data)
    except NoAccount:
        pass
