"""authcustom: the administrator's own functions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from authdaemond.backends.authcustom import AuthCustom
from authdaemond.backends.backend import Rejected, Unavailable
from courier.auth.account import Secret
from courier.auth.request import Authenticate, ChangePassword, Lookup

LOOKUP = """
ACCOUNTS = {"a": "secret", "b": "other"}

def lookup(service, userid):
    if userid in ACCOUNTS:
        return {"ADDRESS": userid, "UID": 5000, "GID": "5000", "HOME": "/h", "PASSWD2": ACCOUNTS[userid]}

def accounts():
    return (lookup("imap", userid) for userid in ACCOUNTS)

def change_password(service, userid, old, new):
    return ACCOUNTS.get(userid) == old
"""


def backend(directory: Path, text: str) -> AuthCustom:
    file = directory / "authcustom.py"
    file.write_text(text)
    file.chmod(0o644)
    directory.chmod(0o755)
    return AuthCustom(file)


def login(userid: bytes, password: bytes) -> Authenticate:
    return Authenticate(b"imap", b"login", userid, Secret(password))


def test_password_compared_with_what_lookup_gives(tmp_path: Path) -> None:
    custom = backend(tmp_path, LOOKUP)

    account = custom.login(login(b"a", b"secret"))

    assert (account.address, account.uid, account.gid, account.home) == ("a", 5000, 5000, "/h")
    for request in (login(b"a", b"bad"), login(b"nobody", b"secret")):
        with pytest.raises(Rejected):
            custom.login(request)
    assert [account.address for account in custom.accounts()] == ["a", "b"]


def test_own_login(tmp_path: Path) -> None:
    """It alone decides, and sees the password."""
    custom = backend(
        tmp_path,
        LOOKUP + "def login(service, userid, password):\n    return lookup(service, userid) "
        'if service == "imap" and password == "x" else None\n',
    )

    assert custom.login(login(b"b", b"x")).address == "b"
    with pytest.raises(Rejected):
        custom.login(login(b"b", b"other"))


def test_cram_and_password_change(tmp_path: Path) -> None:
    custom = backend(tmp_path, LOOKUP)
    challenge = b"PDEyMzQuNTY3OEBob3N0Pg=="

    # "a" and the digest of `secret`, as for every userid.
    answer = Secret(b"YSAwMTIzNmQyY2U2NDQ5YjhhYWZkOWNmY2Q3NzQ5ZDA5ZQ==")
    assert custom.cram(Authenticate(b"imap", b"cram-md5", challenge, answer)).address == "a"
    custom.change_password(ChangePassword(b"imap", b"a", Secret(b"secret"), Secret(b"new")))
    with pytest.raises(Rejected):
        custom.change_password(ChangePassword(b"imap", b"a", Secret(b"bad"), Secret(b"new")))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def lookup(:\n", "SyntaxError"),
        ("def lookup(service, userid):\n    raise KeyError(userid)\n", "lookup: KeyError"),
        ("def lookup(service, userid):\n    return 5\n", "expected a dictionary"),
        ("def lookup(service, userid):\n    return {'ADDRESS': 'x'}\n", "UID or USERNAME"),
        (
            "def lookup(service, userid):\n"
            "    return {'ADDRESS': 'x', 'UID': 'x', 'GID': 1, 'HOME': '/'}\n",
            "no account",
        ),
        (
            "def lookup(service, userid):\n    return {'address': 'x'}\n",
            "unknown attribute address",
        ),
    ],
)
def test_file_with_a_mistake(tmp_path: Path, text: str, expected: str) -> None:
    """A temporary failure whose reason names the file."""
    custom = backend(tmp_path, text)

    with pytest.raises(Unavailable, match=r"authcustom\.py") as caught:
        custom.lookup(Lookup(b"imap", b"secretuser"))

    assert expected in str(caught.value)
    assert "secretuser" not in str(caught.value)


def test_changed_file(tmp_path: Path) -> None:
    custom = backend(tmp_path, LOOKUP)
    assert custom.lookup(Lookup(b"imap", b"a")).uid == 5000

    backend(tmp_path, LOOKUP.replace('"UID": 5000', '"UID": 5001') + "# longer\n")

    assert custom.lookup(Lookup(b"imap", b"a")).uid == 5001


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_file_that_others_may_write(tmp_path: Path, mode: int) -> None:
    """Nothing of it runs."""
    marker = tmp_path / "ran"
    custom = backend(tmp_path, f"open({str(marker)!r}, 'w')\n{LOOKUP}")
    os.chmod(tmp_path / "authcustom.py", mode)

    with pytest.raises(Unavailable, match="writable by nobody else"):
        custom.lookup(Lookup(b"imap", b"a"))

    assert not marker.exists()


def test_without_a_file(tmp_path: Path) -> None:
    custom = AuthCustom(tmp_path / "authcustom.py")

    with pytest.raises(Rejected):
        custom.lookup(Lookup(b"imap", b"a"))
    assert list(custom.accounts()) == []
