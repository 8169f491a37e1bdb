"""Replies that are kept for some seconds: what counts as the same request, and until when."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from authdaemond import success_cache
from authdaemond.success_cache import SuccessCache
from courier.auth.account import Secret
from courier.auth.request import Authenticate

REQUEST = Authenticate(b"imap", b"login", b"a@example.com", Secret(b"secret"), b"192.0.2.1")
REPLY = b"UID=1\nADDRESS=a\nPASSWD=$1$x\nPASSWD2=secret\nOPTIONS=x\n.\n"


def kept(
    *, seconds: float = 60, reply: bytes = REPLY, files: tuple[Path, ...] = ()
) -> SuccessCache:
    cache = SuccessCache(seconds, files)
    cache.keep(REQUEST, reply, cache.stamp())
    return cache


@pytest.mark.parametrize("reply", [REPLY, b"UID=1\n.\n", b"UID=1\nPASSWD2=other\n.\n"])
def test_the_same_request(reply: bytes) -> None:
    """It gets the reply octet for octet, and the password is not kept in it."""
    cache = kept(reply=reply)

    assert cache.get(REQUEST) == reply
    assert b"secret" not in b"".join(
        one.before + (one.after or b"") for one in cache._kept.values()
    )


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, second=Secret(b"secreT")),
        replace(REQUEST, first=b"b@example.com"),
        replace(REQUEST, service=b"pop3"),
        replace(REQUEST, remote_ip=b"192.0.2.2"),
        replace(REQUEST, authtype=b"cram-md5"),
        replace(REQUEST, first=b"a@example.comsecret", second=Secret(b"x")),
        replace(REQUEST, service=b"im", authtype=b"aplogin"),
    ],
)
def test_any_other_request(other: Authenticate) -> None:
    assert kept().get(other) is None


def test_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(success_cache.time, "monotonic", lambda: now)
    cache = kept(seconds=10)

    now = 1009.0
    assert cache.get(REQUEST) == REPLY
    now = 1011.0
    assert cache.get(REQUEST) is None


def test_file_that_passwords_come_from(tmp_path: Path) -> None:
    """Written again, replaced or gone: nothing is known any more."""
    file = tmp_path / "shadow"
    file.write_text("old")
    cache = kept(files=(file,))
    assert cache.get(REQUEST) == REPLY

    os.utime(file, ns=(1, 1))

    assert cache.get(REQUEST) is None


def test_change_while_the_password_is_looked_at(tmp_path: Path) -> None:
    """What was true before the change is not kept after it."""
    file = tmp_path / "shadow"
    cache = SuccessCache(60, (file,))
    stamp = cache.stamp()

    file.write_text("new")
    cache.keep(REQUEST, REPLY, stamp)

    assert cache.get(REQUEST) is None


def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(success_cache, "_MOST", 10)
    cache = SuccessCache(60)
    requests = [replace(REQUEST, first=b"%d" % number) for number in range(30)]
    for request in requests:
        cache.keep(request, REPLY, cache.stamp())

    assert len(cache._kept) == 10
    assert cache.get(requests[-1]) == REPLY and cache.get(requests[0]) is None


def test_off() -> None:
    cache = kept(seconds=0)

    assert cache.get(REQUEST) is None
    assert not cache._kept
