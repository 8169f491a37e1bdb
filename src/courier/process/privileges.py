"""Giving up rights, once and in a fixed order. The only code that changes ids."""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
from dataclasses import dataclass

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Ids:
    """Whom a process becomes."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def ids_of(user: str) -> Ids:
    """Look up a system user, who gets no supplementary groups.

    Raises:
        KeyError: there is no such user.
    """
    found = pwd.getpwnam(user)
    return Ids(found.pw_uid, found.pw_gid)


def check(ids: Ids) -> None:
    """Raise PermissionError if this process can't become ``ids``: only root can become another."""
    if os.geteuid() != 0 and (os.getuid(), os.getgid()) != (ids.uid, ids.gid):
        raise PermissionError(1, f"only root can serve uid {ids.uid}, gid {ids.gid}")


def become(ids: Ids) -> None:
    """Become somebody else for good: groups, gid, uid; no other order works.

    Raises:
        PermissionError: this process is not root and is asked to become another.
        RuntimeError: the old rights could be taken back, which ends this process.
    """
    check(ids)
    if os.geteuid() != 0:
        return
    os.setgroups(list(ids.groups))
    os.setresgid(ids.gid, ids.gid, ids.gid)
    os.setresuid(ids.uid, ids.uid, ids.uid)
    if ids.uid != 0:
        try:
            os.setresuid(0, 0, 0)
        except PermissionError:
            return
        raise RuntimeError("root's rights were not given up")


def isolate(ids: Ids, directory: str) -> None:
    """Leave nothing to a process that talks to strangers but its open descriptors.

    Root directory ``directory`` (empty, not writable), own user, no groups, no new privileges, no
    core dumps. Nothing can be loaded afterwards. Without root only the last two.

    Raises:
        PermissionError: it would still be root.
    """
    if os.geteuid() == 0:
        if 0 in (ids.uid, ids.gid):
            raise PermissionError(1, "root must not talk to strangers")
        os.chroot(directory)
        os.chdir("/")
    become(Ids(ids.uid, ids.gid))
    no_new_privileges()
    no_core_dumps()


def no_new_privileges() -> None:
    """Let no program that is executed from here have more rights than this process."""
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


def no_core_dumps() -> None:
    """Keep passwords and mail in memory out of files, and this process out of debuggers."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
