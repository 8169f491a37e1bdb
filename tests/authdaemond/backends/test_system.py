"""Users of the system: a new password by passwd(1)."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from authdaemond.backends import system
from authdaemond.backends.authpwd import AuthPwd
from authdaemond.backends.backend import Rejected, Unavailable
from courier.auth.account import Secret
from courier.auth.request import ChangePassword

PROGRAM = """#!/usr/bin/python3 -I
import os, sys
given = sys.stdin.buffer.read()
with open({place!r}, "wb") as file:
    file.write(b"%d %d\\n" % os.getresuid()[:2] + given)
sys.exit(0 if given.startswith(b"old") else 10)
"""


def request(userid: str, old: bytes = b"old: 1") -> ChangePassword:
    return ChangePassword(b"imap", userid.encode(), Secret(old), Secret(b"new 2"))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the program in passwd's place was told is in this file."""
    place, program = tmp_path / "told", tmp_path / "passwd"
    program.write_text(PROGRAM.format(place=str(place)))
    program.chmod(0o755)
    monkeypatch.setattr(system, "_PASSWD", str(program))
    return place


@pytest.mark.root
def test_on_behalf_of_the_user(told: Path) -> None:
    nobody = pwd.getpwnam("nobody")

    AuthPwd().change_password(request("nobody"))

    assert told.read_text() == f"{nobody.pw_uid} 0\nold: 1\nnew 2\nnew 2\n"


@pytest.mark.root
def test_refused(told: Path) -> None:
    with pytest.raises(Rejected):
        AuthPwd().change_password(request("nobody", old=b"wrong"))

    assert told.exists()


@pytest.mark.parametrize("userid", ["root", "nobody at all", "a@example.com"])
def test_not_asked(told: Path, userid: str) -> None:
    """For root it would be no question; others are not the system's."""
    with pytest.raises(Rejected):
        AuthPwd().change_password(request(userid))

    assert not told.exists()


def test_without_root(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password would be that of whom the daemon runs as."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(Rejected):
        AuthPwd().change_password(request("nobody"))

    assert not told.exists()


@pytest.mark.root
def test_it_does_not_end(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("passwd", 30.0)

    monkeypatch.setattr(subprocess, "run", run)

    with pytest.raises(Unavailable, match="did not end"):
        AuthPwd().change_password(request("nobody"))
