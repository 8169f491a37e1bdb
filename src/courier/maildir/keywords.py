"""courierimapkeywords/: the keywords of a folder's messages, in Courier's files.

    :list       the merged state of all messages: keywords, one a line; a blank line; then for each
                message that has any "base:number number", numbers counting the keywords from 0
    base        a pending update: the newest keyword set of one message, one keyword a line
    .N.base     an update merged into :list, N-1 being the time then (in units of 300 s); kept a
                while for readers that listed the directory before
    .tmp.…      an update half made

A message's keywords are those of its pending file, else of its update with the largest N, else of its
line in :list. A pending file is thus the change itself; merging only makes room for the next one.

Several programs keep these files with slightly different habits. Newer Courier never merges an
update ".N.base" that is not in :list and deletes it after 15 minutes; Courier 5 throws an update of a
message it does not see away after 15 minutes and replaces pending files without taking the lock. So
we write :list whenever it differs from what is in effect, never delete an update before that, and
look again when a pending file was replaced while we merged it.
"""

import errno
import os
import re
import time
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from courier import log
from courier.maildir import delivery, filename

DIRECTORY = "courierimapkeywords"
LIST = b":list"
PERIOD_S = 300
LEFTOVER_S = 15 * 60
"""Age after which an update of an unknown message, or one half made, is nobody's any more."""

_ATTEMPTS = 100
_DIGITS = 10
_UPDATE = re.compile(rb"\.([1-9][0-9]{0,17})\.(.+)", re.DOTALL)
_VALID = re.compile(r"[!#$&'+-\[^-z|}~]+")
_UNSAFE = re.compile(rb'[\x00-\x20(){%*"\\\]\x7f]')

Keywords = tuple[str, ...]


def valid(keyword: str) -> bool:
    """Whether ``keyword`` may be set: the atom of RFC 9051 9, which is ASCII."""
    return _VALID.fullmatch(keyword) is not None


def storable(keyword: str) -> bool:
    """Whether a file of keywords can hold ``keyword`` so that every program reads it as it is."""
    encoded = _encoded(keyword)
    return bool(encoded) and not _UNSAFE.search(encoded)


def listed(folder: str) -> dict[bytes, Keywords]:
    """Return the keywords of all messages that the files name, whether they exist or not.

    Messages whose newest update has no keywords are in it, too. Nothing is merged.

    Raises:
        OSError: the files can't be read.
    """
    for _ in range(_ATTEMPTS):
        try:
            state = _read(os.path.join(folder, DIRECTORY), EveryMessage())
        except FileNotFoundError:
            continue  # an update was renamed between listing and opening
        return {} if state is None else {**dict.fromkeys(state.updates, ()), **state.effective}
    raise OSError(errno.EAGAIN, "Keywords change faster than they can be read", folder)


class EveryMessage:
    """The messages of a folder that nobody has looked at: each there could be."""

    def __contains__(self, base: object) -> bool:
        return True


def stamp(folder: str) -> tuple[int, int, int] | None:
    """Return what differs whenever a keyword may have changed; None if there is no directory."""
    try:
        found = os.stat(os.path.join(folder, DIRECTORY))
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def load_and_merge(
    folder: str, known: Container[bytes], *, write: bool, now: float, sync: bool = True
) -> dict[bytes, Keywords]:
    """Return the keywords of the messages whose bases are ``known``, of those that have any.

    With ``write`` the caller holds courier.lock, and ``known`` has every message of the folder:
    the keywords of others leave :list, and their updates are removed once 15 minutes old. First
    :list is replaced, then pending files are renamed, then old updates are removed; after a crash
    between any two of these the same keywords are in effect. A merge that fails (a full disk) is
    logged and changes nothing that is in effect.

    Raises:
        OSError: the files can't be read.
    """
    path = os.path.join(folder, DIRECTORY)
    for _ in range(_ATTEMPTS):
        try:
            state = _read(path, known)
        except FileNotFoundError:
            continue  # an update was renamed between listing and opening
        if state is None:
            return {}
        try:
            if write and state.merge(folder, now, sync):
                continue
        except OSError as error:
            # In a folder that we may only read, others have to merge.
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                log.recurring("cannot merge keywords", path, error)
        return state.effective
    raise OSError(errno.EAGAIN, "Keywords change faster than they can be read", path)


def publish(
    folder: str, base: bytes, keywords: Sequence[str], sync: bool, *, replace: bool = True
) -> None:
    """Make ``keywords`` the set of message ``base``, in the form of a pending update.

    The caller holds courier.lock, and has computed the set from what load_and_merge gave it since.
    Others see the old set or the new one; a crash leaves one of them, and a file in tmp/ or ``.tmp.…``
    that is removed in time. An update that is pending nevertheless was made without the lock just
    now: it is replaced, as Courier 5 does, or raised if ``replace`` is false.

    Raises:
        FileExistsError: not ``replace``; merge and compute again.
        OSError: nothing has changed, unless all but the last sync was done.
    """
    if not filename.acceptable(base) or b"/" in base:
        raise ValueError(f"no base name: {base!r}")
    lines = [_encoded(keyword) for keyword in keywords]
    if not all(map(storable, keywords)):
        raise ValueError(f"not keywords: {keywords!r}")
    directory = _make_directory(folder)
    content = b"".join(line + b"\n" for line in lines)
    temporary = delivery.write_temporary(folder, content, sync=sync)
    # Courier: from tmp/ it goes to its directory first, so that the link stays within one (AFS).
    half_made = os.path.join(directory, f".tmp.{int(time.time())}{os.path.basename(temporary)}")
    target = os.path.join(directory, os.fsdecode(base))
    try:
        os.rename(temporary, half_made)
        try:
            os.link(half_made, target)
        except FileExistsError:
            if not replace:
                raise
            os.rename(half_made, target)
    finally:
        delivery.unlink_quietly(temporary)
        delivery.unlink_quietly(half_made)
    if sync:
        delivery.sync_directory(directory)


class _Spelling:
    """One spelling for keywords that differ in case only: the one seen first."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    def set_of(self, lines: Iterable[bytes]) -> Keywords:
        """Return the keywords of ``lines``, each once, in an order that depends on nothing else."""
        return tuple(sorted({self.word(line) for line in lines}))

    def word(self, line: bytes) -> str:
        # Courier: bytes that an atom can't have are read as "_"; control characters are our addition.
        safe = _UNSAFE.sub(b"_", line)
        return self._known.setdefault(safe.lower(), safe.decode("utf-8", "surrogateescape"))


@dataclass(slots=True)
class _Update:
    """The update files of one message."""

    is_pending: bool = False
    numbers: list[int] = field(default_factory=list)
    source: os.stat_result | None = None  # of the file that was read

    def newest(self, base: bytes) -> bytes:
        return base if self.is_pending else _update_name(max(self.numbers), base)


@dataclass(slots=True)
class _State:
    """The directory as it was read once."""

    path: str
    listed: dict[bytes, Keywords]  # as in :list
    effective: dict[bytes, Keywords]
    updates: dict[bytes, _Update]  # of known messages
    leftovers: list[bytes]  # names that are somebody's unfinished or forgotten work

    def merge(self, folder: str, now: float, sync: bool) -> bool:
        """Bring :list up to date, then tidy up; True if an update came in between: read again."""
        if self.effective != self.listed:
            _write_list(folder, self.effective, sync)
        period = int(now) // PERIOD_S
        overtaken = False
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for base, update in self.updates.items():
                if update.is_pending and _retire(directory, base, update, period):
                    overtaken = True
                else:
                    _remove_merged(directory, base, update.numbers, period)
            for name in self.leftovers:
                _remove_if_old(directory, name, now)
        finally:
            os.close(directory)
        return overtaken


def _read(path: str, known: Container[bytes]) -> _State | None:
    """Read the directory ``path``. None if there is none.

    Raises:
        FileNotFoundError: a file vanished after the directory was listed.
    """
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        names = [os.fsencode(name) for name in os.listdir(directory)]
        updates, leftovers = _sort_entries(names, known)
        spelling = _Spelling()
        text = delivery.read_regular(LIST, directory)[0] if LIST in names else b""
        listed = _parse_list(text, spelling)
        effective = {base: words for base, words in listed.items() if base in known}
        for base in list(updates):
            words = _read_update(directory, base, updates[base], spelling)
            if words is None:
                del updates[base]
            elif words:
                effective[base] = words
            else:
                effective.pop(base, None)
    finally:
        os.close(directory)
    return _State(path, listed, effective, updates, leftovers)


def _sort_entries(
    names: Iterable[bytes], known: Container[bytes]
) -> tuple[dict[bytes, _Update], list[bytes]]:
    """Tell updates of known messages from leftovers; names that begin with a colon are neither."""
    updates: dict[bytes, _Update] = {}
    leftovers = []
    for name in names:
        numbered = _UPDATE.fullmatch(name)
        base = numbered[2] if numbered else name
        if base.startswith(b":"):
            continue
        if base.startswith(b".") or base not in known:
            leftovers.append(name)
        elif numbered:
            updates.setdefault(base, _Update()).numbers.append(int(numbered[1]))
        else:
            updates.setdefault(base, _Update()).is_pending = True
    return updates, leftovers


def _read_update(
    directory: int, base: bytes, update: _Update, spelling: _Spelling
) -> Keywords | None:
    """Return what the newest update says; None if it is not a file we can read."""
    try:
        text, update.source = delivery.read_regular(update.newest(base), directory)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ELOOP, errno.ENXIO, errno.EACCES):
            return None
        raise
    return spelling.set_of(filter(None, text.split(b"\n")))


def parse_list(text: bytes) -> dict[bytes, Keywords]:
    """Read what `format_list` writes, and what Courier does."""
    return _parse_list(text, _Spelling())


def _parse_list(text: bytes, spelling: _Spelling) -> dict[bytes, Keywords]:
    """Read :list; lines and numbers that mean nothing are skipped, also a line without its end."""
    head, _, messages = (b"\n" + text).partition(b"\n\n")
    lines = head.split(b"\n")[1:]
    sets: dict[bytes, Keywords] = {}
    listed = {}
    for entry in messages.split(b"\n")[:-1]:
        base, _, numbers = entry.rpartition(b":")
        words = sets.get(numbers)
        if words is None:
            places = [int(n) for n in numbers.split() if n.isdigit() and len(n) < _DIGITS]
            words = spelling.set_of(lines[place] for place in places if place < len(lines))
            sets[numbers] = words
        if base and words:
            listed[base] = words
    return listed


def _write_list(folder: str, effective: dict[bytes, Keywords], sync: bool) -> None:
    """Replace :list, or remove it if no message has a keyword. Others see the old one or the new."""
    target = os.path.join(DIRECTORY, os.fsdecode(LIST))
    if not effective:
        try:
            os.unlink(os.path.join(folder, target))
        except FileNotFoundError:
            pass
        return
    delivery.write_atomically(folder, target, format_list(effective), sync=sync)


def format_list(effective: dict[bytes, Keywords]) -> bytes:
    """Write keywords by base name, as :list has them."""
    places: dict[str, int] = {}
    numbers: dict[Keywords, bytes] = {}
    for words in effective.values():
        if words not in numbers:
            own = [places.setdefault(word, len(places)) for word in words]
            numbers[words] = b" ".join(b"%d" % place for place in own)
    head = b"".join(_encoded(word) + b"\n" for word in places)
    entries = [b"%b:%b\n" % (base, numbers[words]) for base, words in effective.items()]
    return head + b"\n" + b"".join(entries)


def _retire(directory: int, base: bytes, update: _Update, period: int) -> bool:
    """Rename a pending file, now merged, to its number; True if it was not the one we read."""
    number = max(period + 1, *update.numbers, 0)
    name = _update_name(number, base)
    try:
        os.rename(base, name, src_dir_fd=directory, dst_dir_fd=directory)
        found = os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        os.unlink(base, dir_fd=directory)
        return False
    update.numbers.append(number)
    return update.source is None or not os.path.samestat(found, update.source)


def _remove_merged(directory: int, base: bytes, numbers: Sequence[int], period: int) -> None:
    """Remove updates that :list has, but for the latest one, which slow readers may look for.

    A number from the future (a clock was ahead) would hide Courier's next updates: it goes as well.
    Older ones go first, and an error ends it: an old update without its successor would count again.
    """
    latest = max(numbers, default=0)
    for number in sorted(numbers):
        if number == latest and period <= number <= period + 1:
            return
        try:
            os.unlink(_update_name(number, base), dir_fd=directory)
        except FileNotFoundError:
            pass


def _remove_if_old(directory: int, name: bytes, now: float) -> None:
    try:
        if os.lstat(name, dir_fd=directory).st_mtime < now - LEFTOVER_S:
            os.unlink(name, dir_fd=directory)
    except OSError:
        pass  # gone, a directory, or not ours to remove


def _update_name(number: int, base: bytes) -> bytes:
    return b".%d.%b" % (number, base)


def _encoded(keyword: str) -> bytes:
    return keyword.encode("utf-8", "surrogateescape")


def _make_directory(folder: str) -> str:
    """Make the keyword directory, with the mode of the folder as Courier does."""
    path = os.path.join(folder, DIRECTORY)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return path
    os.chmod(path, os.stat(folder).st_mode & 0o777)
    return path
