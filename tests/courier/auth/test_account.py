"""Accounts, and as whom their sessions run."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace

import pytest

from courier.auth.account import Account, NoIdentity, Secret, identity

VIRTUAL = Account("vm1@example.com", 5000, "/home/vmail/vm1", uid=5001)


def test_secret_does_not_show() -> None:
    """Neither in messages nor within an account's own repr."""
    secret = Secret(b"hunter2")

    shown = f"{secret} {secret!r} {replace(VIRTUAL, clear=secret)!r}"

    assert "hunter2" not in shown
    assert secret.reveal() == b"hunter2"


def test_secret_is_equal_by_value_and_no_key() -> None:
    assert Secret(b"a") == Secret(b"a") != Secret(b"b")
    with pytest.raises(TypeError):
        hash(Secret(b"a"))


def test_virtual_account_has_its_group_alone() -> None:
    found = identity(VIRTUAL)

    assert (found.uid, found.gid, found.groups) == (5001, 5000, (5000,))


def test_system_account_is_who_the_system_says() -> None:
    """The uid is the user's, whatever else stands there, and the groups are initgroups's."""
    user = pwd.getpwuid(os.getuid())
    account = Account(user.pw_name, 7, user.pw_dir, username=user.pw_name, uid=99)

    found = identity(account)

    assert (found.uid, found.gid) == (user.pw_uid, 7)
    assert found.groups == tuple(os.getgrouplist(user.pw_name, 7))


def test_unknown_system_user() -> None:
    with pytest.raises(NoIdentity):
        identity(Account("x", 7, "/", username="no-such-user-here"))


@pytest.mark.parametrize(("uid", "gid"), [(0, 5000), (5000, 0), (0, 0)])
def test_virtual_account_is_not_root(uid: int, gid: int) -> None:
    account = replace(VIRTUAL, uid=uid, gid=gid)

    with pytest.raises(NoIdentity):
        identity(account)
    assert identity(account, permit_root=True).uid == uid


@pytest.mark.parametrize("number", [-1, 2**32 - 1, 2**32, 2**40])
def test_numbers_that_mean_no_change_are_refused(number: int) -> None:
    """setresuid(-1) leaves a process what it is: root."""
    with pytest.raises(NoIdentity):
        identity(replace(VIRTUAL, uid=number), permit_root=True)
    with pytest.raises(NoIdentity):
        identity(replace(VIRTUAL, gid=number), permit_root=True)
    with pytest.raises(NoIdentity):
        identity(Account("root", number, "/", username="root"))


def test_account_without_uid() -> None:
    with pytest.raises(NoIdentity):
        identity(replace(VIRTUAL, uid=None))
