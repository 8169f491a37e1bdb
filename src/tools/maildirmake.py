"""maildirmake: make maildirs, folders, quotas, shared folders; convert old names. See maildirmake(1)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from courier.maildir import conversion, counting, making, sharable
from courier.maildir.making import Modes
from courier.maildir.quota import Limits, Quota
from tools import owner, trash_quota

_USAGE = "Usage: maildirmake [ options ] maildir\n"


@dataclass(slots=True)
class _Arguments:
    action: Callable[[_Arguments], int]
    maildir: str = ""
    folder: str | None = None
    is_escaped: bool = False  # -F: the folder's name is to be written as SMAP has it
    share: str | None = None
    is_sharable: bool = False  # -S
    limits: str | None = None
    value: str = ""
    more: list[str] = field(default_factory=list)


class _Usage(Exception):
    """The command line is none."""


class _NoFolderName(Exception):
    """No folder should be called so. Courier says it on standard output."""


class _Failed(Exception):
    """``args``: what to say, and the exit code."""


def main(arguments: Sequence[str]) -> int:
    try:
        found = _parsed(list(arguments))
        found.maildir = owner.become(found.maildir)
        return found.action(found)
    except _Usage:
        sys.stdout.write(_USAGE)
        return 1
    except _Failed as failure:
        text, status = failure.args
        sys.stderr.write(f"{text}\n")
        return int(status)
    except OSError as error:
        sys.stderr.write(f"{found.maildir}: {error.strerror}\n")
        return 1
    except _NoFolderName as failure:
        sys.stdout.write(f"Invalid folder name: {failure}\n")
        return 1


def _parsed(arguments: list[str]) -> _Arguments:
    found = _Arguments(_make)
    while arguments and arguments[0].startswith("-") and len(arguments[0]) > 1:
        option = arguments.pop(0)
        if option in ("--checkutf8", "--convutf8"):
            found.action = _check if option == "--checkutf8" else _convert
            break
        if option in ("--add", "--del"):
            found.action = _add if option == "--add" else _remove
            found.value = _argument(arguments)
        elif option == "-S":
            found.is_sharable = True
        elif option[:2] in ("-s", "-f", "-F", "-q"):
            value = option[2:] or _argument(arguments)
            match option[1]:
                case "s":
                    found.share = value
                case "q":
                    found.limits = value
                case _:
                    found.folder, found.is_escaped = value, option[1] == "F"
        else:
            raise _Usage
    if not arguments:
        raise _Usage
    found.maildir, *found.more = arguments
    return found


def _argument(arguments: list[str]) -> str:
    if not arguments:
        raise _Usage
    return arguments.pop(0)


# --- Making -------------------------------------------------------------------------------------


def _make(found: _Arguments) -> int:
    if found.share is not None and found.folder is None:
        raise _Usage
    if found.folder is None:
        path, modes = found.maildir, Modes(0o755, 0o700) if found.is_sharable else Modes()
    else:
        path = os.path.join(found.maildir, "." + _folder_name(found))
        modes = Modes(0o755, 0o755) if found.is_sharable else Modes()
    if found.share is not None:
        modes = making.shared_modes(found.share)
    if found.limits is None:
        _create(found, path, modes, "maildirmake: ")
        return 0
    if not os.path.isdir(path):
        _create(found, path, modes, "")
    return _set_quota(path, Limits.parse(found.limits))


def _create(found: _Arguments, path: str, modes: Modes, prefix: str) -> None:
    try:
        making.make(path, modes, folder=found.folder is not None)
    except OSError as error:
        raise _Failed(f"{prefix}{path}: {error.strerror}", 1) from error


def _folder_name(found: _Arguments) -> str:
    assert found.folder is not None
    name = found.folder
    if found.is_escaped:
        try:
            name = making.smap_name(name)
        except UnicodeEncodeError:
            raise _Failed(f"Cannot convert {_shown(name)} to maildir encoding", 1) from None
    if not making.is_acceptable(name):
        raise _NoFolderName(_shown(name))
    return name


def _shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _set_quota(path: str, limits: Limits) -> int:
    """Set the quota of a maildir, or of the one that a folder belongs to."""
    if not limits:
        return 0
    maildir, _ = counting.holder(path)
    try:
        Quota(maildir, counts_trash=trash_quota.is_counted()).set_limits(limits)
    except OSError as error:
        raise _Failed(f"{maildir}: {error.strerror}", 1) from error
    return 0


# --- Sharable maildirs --------------------------------------------------------------------------


def _add(found: _Arguments) -> int:
    nick, equals, path = found.value.partition("=")
    if not equals or not path.startswith("/"):
        raise _Usage
    if not sharable.is_nick(nick) or not sharable.is_path(path):
        raise _Failed(f"{nick}: invalid name", 1)
    try:
        os.stat(path)
    except OSError as error:
        raise _Failed(f"{path}: {error.strerror}", 1) from error
    try:
        sharable.add(found.maildir, nick, path)
    except sharable.AlreadyDefined:
        raise _Failed(f"{nick}: already defined as a sharable maildir.", 2) from None
    except OSError as error:
        raise _Failed(f"{found.maildir}: {error.strerror}", 1) from error
    return 0


def _remove(found: _Arguments) -> int:
    try:
        if sharable.remove(found.maildir, found.value):
            return 0
    except OSError as error:
        raise _Failed(f"{found.maildir}: {error.strerror}", 1) from error
    raise _Failed(f"{found.value}: not found.", 1)


# --- Old names ----------------------------------------------------------------------------------


def _check(found: _Arguments) -> int:
    plan = _planned(found)
    if plan.has_subscriptions:
        print(f"Verified {found.maildir}/courierimapsubscribed")
    return 0


def _convert(found: _Arguments) -> int:
    plan = _planned(found)
    if plan.has_subscriptions:
        print(f"Updating {found.maildir}/courierimapsubscribed")
    try:
        conversion.carry_out(found.maildir, plan)
    except OSError as error:
        raise _Failed(f"Error: {error.filename or found.maildir}: {error.strerror}", 1) from error
    return 0


def _planned(found: _Arguments) -> conversion.Plan:
    if found.more:
        raise _Failed(f"Error: {found.more[0]}: mail filters can't be converted here", 1)
    print(f"Checking {found.maildir}:")
    try:
        plan = conversion.plan(found.maildir)
    except conversion.Unconvertible as error:
        sys.stdout.flush()
        raise _Failed(f"Error: {error}", 1) from error
    except OSError as error:
        sys.stdout.flush()
        raise _Failed(f"Error: {error.filename or found.maildir}: {error.strerror}", 1) from error
    conversion.describe(found.maildir, plan, lambda line: print(_shown(line)))
    return plan


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
