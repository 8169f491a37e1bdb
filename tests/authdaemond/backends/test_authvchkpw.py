"""authvchkpw: vpopmail's files."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from authdaemond.backends import authvchkpw
from authdaemond.backends.authvchkpw import AuthVchkpw
from authdaemond.backends.backend import Rejected, Unavailable
from courier.auth.account import Secret
from courier.auth.request import Authenticate, Lookup

MD5CRYPT = "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1"  # secret


@pytest.fixture
def vchkpw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AuthVchkpw:
    monkeypatch.setattr(authvchkpw, "USER", pwd.getpwuid(1).pw_name)
    domain, moved = tmp_path / "domains/example.com", tmp_path / "elsewhere/0/big.example"
    for directory in (domain, moved, tmp_path / "users"):
        directory.mkdir(parents=True)
    (domain / "vpasswd").write_text(
        f"postmaster:{MD5CRYPT}:1:0:Post Master:{domain}/postmaster:NOQUOTA\n"
        f"joe:{MD5CRYPT}:1:10:Joe, Sales:{domain}/joe:1000000S:secret\n"
        "broken line\n"
        f"odd:{MD5CRYPT}:1:x:Odd:{domain}/odd:NOQUOTA\n"
    )
    (moved / "vpasswd").write_text(f"ann:{MD5CRYPT}:1:0:Ann:{moved}/ann:NOQUOTA\n")
    (tmp_path / "users/vpasswd").write_text(f"local:{MD5CRYPT}:1:0:L:/h/local:5C\n")
    assign = tmp_path / "assign"
    assign.write_text(f"+big.example-:big.example:7001:7002:{moved}:-::\n.\n")
    return AuthVchkpw(tmp_path, assign)


def login(userid: bytes, password: bytes = b"secret") -> Authenticate:
    return Authenticate(b"imap", b"login", userid, Secret(password))


def test_account_of_a_domain(vchkpw: AuthVchkpw, tmp_path: Path) -> None:
    """Bits become options; the mail is vpopmail's."""
    account = vchkpw.login(login(b"Joe@Example.COM"))

    assert account.address == "joe@example.com"
    assert (account.uid, account.gid) == (1, pwd.getpwuid(1).pw_gid)
    assert account.home == f"{tmp_path}/domains/example.com/joe"
    assert account.quota == "1000000S"
    assert account.options == "disablepop3=1,disableimap=1"


def test_domain_of_another_user(vchkpw: AuthVchkpw) -> None:
    account = vchkpw.lookup(Lookup(b"imap", b"ann@big.example"))

    assert (account.uid, account.gid, account.quota) == (7001, 7002, None)


def test_userid_without_a_domain(vchkpw: AuthVchkpw) -> None:
    assert vchkpw.login(login(b"local")).address == "local"


@pytest.mark.parametrize(
    "userid",
    [
        b"nobody@example.com",
        b"joe@nosuch.example",
        b"joe@../domains/example.com",
        b"joe@..",
        b"ann@big.example/../../domains/example.com",
        b"joe:x@example.com",
        b"broken line@example.com",
    ],
)
def test_nobody(vchkpw: AuthVchkpw, userid: bytes) -> None:
    """A domain is a name, never a path."""
    with pytest.raises(Rejected):
        vchkpw.login(login(userid))


def test_wrong_password_and_cram(vchkpw: AuthVchkpw) -> None:
    with pytest.raises(Rejected):
        vchkpw.login(login(b"joe@example.com", b"bad"))
    challenge = b"PDEyMzQuNTY3OEBob3N0Pg=="
    # joe@example.com and the digest of `secret`; postmaster's password itself is not stored.
    answer = b"am9lQGV4YW1wbGUuY29tIDAxMjM2ZDJjZTY0NDliOGFhZmQ5Y2ZjZDc3NDlkMDll"
    request = Authenticate(b"imap", b"cram-md5", challenge, Secret(answer))
    assert vchkpw.cram(request).address == "joe@example.com"


def test_bits_that_are_no_number(vchkpw: AuthVchkpw) -> None:
    """What an account may not do is not known, so it may do nothing now."""
    with pytest.raises(Unavailable, match="odd: expected a number"):
        vchkpw.login(login(b"odd@example.com"))


def test_without_vpopmail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(authvchkpw, "USER", "no-such-user")
    vchkpw = AuthVchkpw(assign=tmp_path / "assign")

    with pytest.raises(Rejected):
        vchkpw.login(login(b"joe@example.com"))
    assert list(vchkpw.accounts()) == []
