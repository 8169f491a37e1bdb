"""maildiracl: show and change access control lists of a maildir's folders. See maildiracl(1)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from courier.maildir import acl
from courier.maildir.acl import Acl, InvalidAcl
from courier.maildir.acl_files import AclFiles
from courier.maildir.tree import Tree, is_name
from tools import owner

_USAGE = """\
Usage: maildiracl [ options ] maildir [INBOX[.folder] [identifier rights]]
    -reset maildir
    -list maildir INBOX[.folder]
    -set maildir INBOX[.folder] identifier [+|-]rights
    -delete maildir INBOX[.folder] identifier
    -compute maildir INBOX[.folder] identifier...
"""
#: Seconds for which lists of levels that nothing is below are kept by -reset.
_LEFTOVER_S = 3600


class _Usage(Exception):
    """The command line is no command."""


class _Refused(Exception):
    """What is asked for can't be done; the text says why."""


def main(arguments: Sequence[str]) -> int:
    try:
        if len(arguments) < 2 or arguments[0] not in _COMMANDS:
            raise _Usage
        option, maildir, *rest = arguments
        minimum, command = _COMMANDS[option]
        if len(rest) < minimum:
            raise _Usage
        command(owner.become(maildir), rest)
    except _Usage:
        sys.stdout.write(_USAGE)
        return 1
    except _Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except InvalidAcl as error:
        # Courier: so for the owner, and in the system's words for everything else.
        text = "Trying to set invalid access rights for owner"
        print(
            text if error.subject == acl.OWNER else f"{arguments[1]}: Invalid argument",
            file=sys.stderr,
        )
        return 1
    except OSError as error:
        print(f"{arguments[1]}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _list(maildir: str, arguments: Sequence[str]) -> None:
    files, folder = _opened(maildir, arguments[0])
    for identifier, rights in files.read(folder).entries:
        _say(f"{identifier}\t{rights}")


def _set(maildir: str, arguments: Sequence[str]) -> None:
    files, folder = _opened(maildir, arguments[0])
    identifier, change = arguments[1:3]

    def with_change(found: Acl) -> Acl:
        rights = acl.changed(found.get(identifier) or "", change)
        return found.with_rights(identifier, rights)

    files.change(folder, with_change)


def _delete(maildir: str, arguments: Sequence[str]) -> None:
    files, folder = _opened(maildir, arguments[0])
    files.change(folder, lambda found: found.without(arguments[1]))


def _compute(maildir: str, arguments: Sequence[str]) -> None:
    files, folder = _opened(maildir, arguments[0])
    _say(acl.compute(files.read(folder), [*arguments[1:], "anyone", "anonymous"]))


def _reset(maildir: str, arguments: Sequence[str]) -> None:
    AclFiles(Tree(maildir)).remove_leftovers(time.time() - _LEFTOVER_S)


_COMMANDS: Mapping[str, tuple[int, Callable[[str, Sequence[str]], None]]] = {
    "-reset": (0, _reset),
    "-list": (1, _list),
    "-set": (3, _set),
    "-delete": (2, _delete),
    "-compute": (2, _compute),
}


def _opened(maildir: str, mailbox: str) -> tuple[AclFiles, str]:
    """Give a maildir's lists, and the folder that ``INBOX`` or ``INBOX.a.b`` is."""
    top, dot, folder = mailbox.partition(".")
    if top != "INBOX":
        raise _Refused(f"{mailbox}: Invalid argument")
    if dot and not is_name(folder):
        raise _Refused(f"{maildir}: Invalid argument")
    if folder and not os.path.isdir(maildir):
        raise _Refused(f"{maildir}: No such file or directory")
    return AclFiles(Tree(maildir)), folder


def _say(line: str) -> None:
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
