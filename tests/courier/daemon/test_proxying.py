"""courier.daemon.proxying: which accounts other hosts serve."""

from __future__ import annotations

import socket

import pytest

from courier import log
from courier.auth.account import Account
from courier.daemon.proxying import hosts
from imapd.settings import Settings

PROXY = Settings(proxy=True, proxy_hostname="mx.example.com")
HERE = socket.gethostname()


def account(options: str | None) -> Account:
    return Account("u@example.com", 1, "/home/u", uid=1, options=options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("mailhost=a.example", ("a.example",)),
        ("disableshared=1,mailhost=192.0.2.1", ("192.0.2.1",)),
        ("mailhost=a,mailhost=b", ("a", "b")),
        ("mailhost=mx.example.com", ()),
        ("mailhost=MX.example.com", ("MX.example.com",)),  # Courier compares octets
        (f"mailhost={HERE}", ()),
        (f"mailhost=a,mailhost={HERE}", ("a",)),
        (f"mailhost={HERE},mailhost=a", ()),
    ],
)
def test_hosts_of_an_account(options: str, named: tuple[str, ...]) -> None:
    assert hosts(PROXY, account(options)) == named
    assert hosts(Settings(), account(options)) == ()


@pytest.mark.parametrize("options", [None, "", "mailhost=", "mailhost", "group=x"])
def test_account_without_a_host(options: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is served here, of which the log warns as Courier's does."""
    lines: list[str] = []
    monkeypatch.setattr(log, "write", lines.append)

    assert hosts(PROXY, account(options)) == ()
    assert hosts(Settings(), account(options)) == ()

    assert lines == ["WARN: proxy enabled, but no proxy host defined for u@example.com"]
