"""Converting a maildir's folder names from modified UTF-7 to UTF-8, once and for all.

Whether a name has been converted can't be seen by it: "a&AOk-b" may be "aéb" in the old way or
the new way's "a&AOk-b". Courier's own conversion, run twice or broken off, converts what it has
converted. So what is to be done is written down first, in the file `pycourier-utf8`, each
directory by its inode; a conversion that was broken off is taken up there by the next run. When
all is done the file says so, and that maildir has no old names any more, whatever they look like.

    converting LF, then JSON: what is to be done          a conversion is under way
    converted LF                                          none is ever again
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from courier.maildir import delivery, old_names, subscriptions, tree
from courier.maildir.lock import FolderLock
from courier.maildir.old_names import STATE, NotOld

_CONVERTING = b"converting\n"
#: Where rights of names that have no folder are kept: these names are converted as well.
_RIGHTS = "courierimaphieracl"


class Unconvertible(Exception):
    """A name is no old one, or its new one is taken; nothing has been done."""


@dataclass(frozen=True, slots=True)
class Rename:
    """A directory or file of the maildir, by its inode, and what it is to be called."""

    inode: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to convert. ``lines`` pairs subscriptions that change with their new text."""

    renames: tuple[Rename, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    before: str = ""  # SHA-256 of the subscriptions as they are
    after: str = ""  # their text as it will be
    has_subscriptions: bool = False
    is_done: bool = field(default=False)  # nothing is left to do, for good


def plan(maildir: str) -> Plan:
    """Find out what there is to convert; a conversion broken off has its plan already.

    Raises:
        Unconvertible: the text says why.
        OSError: the maildir can't be read.
    """
    if old_names.is_converted(maildir):
        return Plan(is_done=True)
    begun = _begun(maildir)
    if begun is not None:
        return begun
    renames = _in_order(maildir, [*_folders(maildir), *_rights(maildir)])
    try:
        text = subscriptions_text(maildir)
    except FileNotFoundError:
        return Plan(renames)
    lines = [(line, _converted(line)) for line in text.splitlines()]
    after = "".join(f"{new}\n" for _, new in lines)
    changed = tuple(pair for pair in lines if pair[0] != pair[1])
    return Plan(renames, changed, _hash(text), after, has_subscriptions=True)


def carry_out(maildir: str, wanted: Plan) -> None:
    """Convert all of a plan, and note that it is done.

    Others see each folder under its old name or its new one; sessions that have one open lose it.
    After a crash, or a system call that failed, the rest is done by the next run.

    Raises:
        OSError: some may be converted; call again with the plan that `plan` gives then.
    """
    if wanted.is_done:
        return
    delivery.write_atomically(maildir, STATE, _CONVERTING + _packed(wanted), mode=0o600, sync=True)
    for rename in wanted.renames:
        _rename(maildir, rename)
    with FolderLock(maildir):
        if wanted.lines and _hash(subscriptions_text(maildir)) == wanted.before:
            path = os.path.join(maildir, subscriptions.NAME)
            found = os.stat(path)
            text = wanted.after.encode("utf-8", "surrogateescape")
            delivery.write_atomically(
                maildir, subscriptions.NAME, text, mode=found.st_mode & 0o777, sync=True
            )
            if os.geteuid() == 0:
                os.chown(path, found.st_uid, found.st_gid)
    old_names.note_converted(maildir)


def subscriptions_text(maildir: str) -> str:
    path = os.path.join(maildir, subscriptions.NAME)
    return delivery.read_regular(path)[0].decode("utf-8", "surrogateescape")


def _folders(maildir: str) -> Iterator[Rename]:
    with os.scandir(maildir) as entries:
        found = sorted((entry.name, entry.inode()) for entry in entries)
    for name, inode in found:
        if name.startswith(".") and os.path.isdir(os.path.join(maildir, name, "cur")):
            new = "." + _checked(name[1:])
            if new != name:
                yield Rename(inode, name, new)


def _rights(maildir: str) -> Iterator[Rename]:
    directory = os.path.join(maildir, _RIGHTS)
    try:
        with os.scandir(directory) as entries:
            found = sorted((entry.name, entry.inode()) for entry in entries)
    except FileNotFoundError:
        return
    for name, inode in found:
        new = _converted(name)
        if new != name and not os.path.lexists(os.path.join(directory, new)):
            yield Rename(inode, f"{_RIGHTS}/{name}", f"{_RIGHTS}/{new}")


def _checked(name: str) -> str:
    """Give a folder's new name; one with characters beyond ASCII is none of the old ones.

    Raises:
        Unconvertible: it is neither.
    """
    if not name.isascii():
        return name
    try:
        new = old_names.decode(name)
    except NotOld:
        new = ""
    if not (new == name or tree.is_name(new)):
        raise Unconvertible(f"INBOX.{name}: does not appear to be valid modified-UTF7")
    return new or name


def _converted(name: str) -> str:
    """Give a name's new form if it has one; subscriptions may hold anything."""
    try:
        return old_names.decode(name) if name.isascii() else name
    except NotOld:
        return name


def _in_order(maildir: str, renames: list[Rename]) -> tuple[Rename, ...]:
    """Sort renames so that each new name is free when its turn comes.

    Raises:
        Unconvertible: one never is.
    """
    waiting = {one.new: one for one in renames}
    ordered: list[Rename] = []
    freed: set[str] = set()
    while waiting:
        ready = [
            one
            for one in waiting.values()
            if one.new in freed or not os.path.lexists(os.path.join(maildir, one.new))
        ]
        if not ready:
            one = next(iter(waiting.values()))
            raise Unconvertible(f"INBOX{one.old}: INBOX{one.new} is there already")
        for one in ready:
            del waiting[one.new]
            freed.add(one.old)
        ordered += ready
    return tuple(ordered)


def _rename(maildir: str, rename: Rename) -> None:
    """Rename if it has not been done: a name alone does not tell, its inode does."""
    old, new = os.path.join(maildir, rename.old), os.path.join(maildir, rename.new)
    try:
        if os.lstat(old).st_ino != rename.inode:
            return
    except FileNotFoundError:
        return
    os.rename(old, new)
    delivery.sync_directory(os.path.dirname(new))


def _begun(maildir: str) -> Plan | None:
    try:
        text, _ = delivery.read_regular(os.path.join(maildir, STATE))
    except FileNotFoundError:
        return None
    if not text.startswith(_CONVERTING):
        raise Unconvertible(f"{os.path.join(maildir, STATE)} is none of this version's")
    values = json.loads(text[len(_CONVERTING) :])
    return Plan(
        tuple(Rename(*one) for one in values["renames"]),
        tuple((old, new) for old, new in values["lines"]),
        values["before"],
        values["after"],
        has_subscriptions=bool(values["before"]),
    )


def _packed(wanted: Plan) -> bytes:
    values = {
        "renames": [[one.inode, one.old, one.new] for one in wanted.renames],
        "lines": wanted.lines,
        "before": wanted.before,
        "after": wanted.after,
    }
    return json.dumps(values, indent=0).encode() + b"\n"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


Say = Callable[[str], None]


def describe(maildir: str, wanted: Plan, say: Say) -> None:
    """Say what a plan changes, in Courier's words."""
    for old, new in wanted.lines:
        say(f"Subscription to {old} changed to {new}")
    for rename in wanted.renames:
        if rename.old.startswith("."):
            say(f"Rename INBOX{rename.old} to INBOX{rename.new}")
