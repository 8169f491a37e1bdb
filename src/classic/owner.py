"""-user and -group: as whom a program runs on."""

from __future__ import annotations

import grp
import os
import pwd

from classic.words import Wrong
from courier.process.privileges import Ids


def ids(user: str | None, group: str | None) -> Ids | None:
    """Look up who is meant, by names or numbers; None if it is said nowhere.

    A user that has a name gets its groups, a number only the one that is said or that there is.

    Raises:
        Wrong: nobody has this name.
    """
    if user is None and group is None:
        return None
    gid = None if group is None else _gid(group)
    if user is None:
        assert gid is not None
        return Ids(os.getuid(), gid, (gid,))
    if user.isdecimal():
        gid = os.getgid() if gid is None else gid
        return Ids(int(user), gid, (gid,))
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise Wrong(f"{user}: no such user") from None
    gid = found.pw_gid if gid is None else gid
    return Ids(found.pw_uid, gid, tuple(os.getgrouplist(user, gid)))


def _gid(group: str) -> int:
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise Wrong(f"{group}: no such group") from None
