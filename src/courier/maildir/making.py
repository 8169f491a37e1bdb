"""Making maildirs and folders from outside a server: `maildirmake`, `deliverquota -c`."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass

from courier.maildir import counting


@dataclass(frozen=True, slots=True)
class Modes:
    """Permissions of a maildir, and of `tmp`, `new`, `cur` in it; the umask has no say."""

    top: int = 0o700
    below: int = 0o700


def shared_modes(words: str) -> Modes:
    """Say what ``read``, ``write`` and ``group`` mean; their first letters count, in order.

    Who may write into a folder may not remove what others wrote: the sticky bit.
    """
    modes = Modes(0o755, 0o755)
    for word in re.split(r"[,\s]+", words):
        match word[:1]:
            case "r":
                modes = Modes(0o755, 0o755)
            case "w":
                modes = Modes(0o1755, 0o1777)
            case "g":
                modes = Modes(modes.top & ~0o007, modes.below & ~0o007)
    return modes


def make(path: str, modes: Modes = Modes(), *, folder: bool = False) -> None:
    """Make a maildir, or with ``folder`` one that belongs to the maildir above it.

    `tmp` comes first and `cur` last, so that no server takes half of it for a whole. A crash
    leaves what was made, an error nothing.

    Raises:
        OSError: FileExistsError among others.
    """
    os.mkdir(path, 0o700)
    try:
        for name in ("tmp", "new", "cur"):
            os.mkdir(os.path.join(path, name), 0o700)
            os.chmod(os.path.join(path, name), modes.below)
        if folder:
            with open(os.path.join(path, counting.FOLDER_MARK), "xb") as mark:
                os.fchmod(mark.fileno(), 0o600)
        os.chmod(path, modes.top)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def complete(path: str) -> None:
    """Make a maildir with all directories above it, or what a maildir lacks.

    `tmp` comes last: where it is, the rest is, too. Others may do the same at the same time.

    Raises:
        OSError: it can't be made; what was made stays.
    """
    if os.path.isdir(os.path.join(path, "tmp")):
        return
    for name in ("cur", "new", "tmp"):
        _make_all(os.path.join(path, name))


def _make_all(path: str) -> None:
    above = os.path.dirname(path)
    if above and not os.path.isdir(above):
        _make_all(above)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)


def smap_name(name: str) -> str:
    r"""Give the folder name of one component as SMAP has it: `. / ~ : \` and controls in octal.

    Raises:
        UnicodeEncodeError: it is no text.
    """
    name.encode()
    return re.sub(r"[\x00-\x1f./~:\\]", lambda found: f"\\{ord(found[0]):03o}", name)


def is_acceptable(name: str) -> bool:
    """Tell whether a folder of this name can be reached by IMAP, and harms no Courier.

    Courier's sessions die of names that are no UTF-8 or have characters above U+FFFF.
    """
    return (
        "/" not in name
        and not name.startswith(".")
        and (not name or all(name.split(".")))
        and not any("\ud800" <= char <= "\udfff" or char > "\uffff" for char in name)
    )
