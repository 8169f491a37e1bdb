"""userdb's text: one file, or a directory of files; changed by `userdb`, compiled by `makeuserdb`.

    line  = name TAB field *("|" field) LF
    field = key ["=" value]

Empty lines and lines that begin with `#` are comments. A directory's files are read one after the
other, at any depth. Both programs, and authdaemond when it changes a password, work through here.
"""

from __future__ import annotations

import contextlib
import dbm.gnu
import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from courier.auth import userdb

_SHADOWED = re.compile(rb"[^=]*pw=")
_LEFT_BY_A_PACKAGE = re.compile(r"\.(?:rpmsave|rpmnew|dpkg-.*)\Z")
_NO_FIELDS = b"1"


class Failed(Exception):
    """What the programs say about it on standard error, line by line, and their exit code."""

    def __init__(self, status: int, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.status = status
        self.lines = lines


# --- Compiling ------------------------------------------------------------------------------------


def build(source: Path) -> None:
    """Make the compiled files of ``source`` and put them in place of the old ones.

    Whatever fails, and wherever the machine stops, readers have the old files or the new ones; for
    an instant new passwords beside old accounts.

    Raises:
        Failed: the source is missing, open to others, or names an account twice.
        OSError: a file can't be read or written; the old ones stay.
    """
    _check(source)
    with _locked(source.with_name(source.name + ".lock"), 0o644):
        targets = {
            source.with_name(source.name + "shadow.tmp"): userdb.compiled_shadow(source),
            source.with_name(source.name + ".tmp"): userdb.compiled(source),
        }
        shadow, public = targets
        try:
            _write(source, public, shadow)
            for made, target in targets.items():
                os.rename(made, target)
        finally:
            for made in targets:
                made.unlink(missing_ok=True)


def _check(source: Path) -> None:
    for path in (source, userdb.compiled(source), userdb.compiled_shadow(source)):
        if path.is_symlink():
            raise Failed(
                255, "ERROR: Wrong makeuserdb command.", f"       ({path} is a symbolic link)"
            )
    try:
        mode = source.stat().st_mode
    except FileNotFoundError:
        raise Failed(2, f"{source}: not found.") from None
    if mode & 0o077:
        raise Failed(255, f"{source}: MAY NOT HAVE GROUP OR WORLD PERMISSIONS!!")


def _write(source: Path, public: Path, shadow: Path) -> None:
    for path, mode in ((public, 0o644), (shadow, 0o600)):
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        os.fchmod(descriptor, mode)  # whatever the umask is
        os.close(descriptor)
    try:
        with (
            dbm.gnu.open(str(public), "nf") as accounts,
            dbm.gnu.open(str(shadow), "nf") as secrets,
        ):
            for name, record, secret in _records(source):
                if name in accounts:
                    raise _duplicate(name)
                accounts[name] = record
                if secret:
                    secrets[name] = secret
            accounts.sync()
            secrets.sync()
    except dbm.gnu.error as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), public) from error


def _duplicate(name: bytes) -> Failed:
    text = name.decode("utf-8", "surrogateescape")
    # Courier: the same words for a full disk, an empty line, and its shadow file is lost by then.
    return Failed(1, f"Cannot store record for {text} - duplicate or out of disk space.", "")


def _records(source: Path) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield name, public fields and secret fields, each as they are stored."""
    for location, path in _files(source):
        for line in path.read_bytes().split(b"\n"):
            if not line or line.startswith(b"#"):
                continue
            name, tab, text = line.partition(b"\t")
            if not tab:
                yield name, _NO_FIELDS, _NO_FIELDS
                continue
            text = text.rstrip(b"|")
            fields = text.split(b"|") if text else []
            public = [field for field in fields if not _SHADOWED.match(field)]
            public.append(userdb.LOCATION + b"=" + location)
            secret = [field for field in fields if _SHADOWED.match(field)]
            yield name, b"|".join(public), b"|".join(secret)


def _files(source: Path) -> Iterator[tuple[bytes, Path]]:
    """Yield the files with what is kept as an account's location: relative path and a slash."""
    if not source.is_dir():
        yield b"", source
        return
    seen: set[tuple[int, int]] = set()
    for directory, subdirectories, names in os.walk(source, followlinks=True, onerror=_raise):
        found = os.stat(directory)
        if (found.st_dev, found.st_ino) in seen:  # a link to a directory above
            subdirectories.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        subdirectories[:] = sorted(name for name in subdirectories if not name.startswith("."))
        for name in sorted(names):
            path = Path(directory, name)
            if _counts(path):
                yield os.fsencode(path.relative_to(source)) + b"/", path


def _counts(path: Path) -> bool:
    """Whether a directory's file is read: documented so for Courier 0.73, and done by no version."""
    if path.name.startswith(".") or "~" in path.name or not path.is_file():
        return False
    if _LEFT_BY_A_PACKAGE.search(path.name):
        raise Failed(1, f"{path} found, please investigate and remove it")
    if path.suffix == ".dist":
        mine = path.with_suffix("")
        if not mine.exists() or mine.stat().st_mtime < path.stat().st_mtime:
            raise Failed(1, f"{path} is newer than {mine}, please compare them")
        return False
    return True


def _raise(error: OSError) -> None:
    raise error


# --- Changing -------------------------------------------------------------------------------------

Fields = dict[bytes, bytes | None]
Edit = Callable[[Fields | None], Fields | None]


def change(file: Path, name: bytes, edit: Edit) -> None:
    """Replace the fields of ``name`` in a text file by what ``edit`` makes of them.

    ``edit`` gets None where there is no such account, and returns None where there shall be none.
    Other lines stay as they are. A crash leaves the old file or the new one.

    Raises:
        Failed: there is no such file to be changed.
        OSError: reading or writing failed; the file is as it was.
    """
    file = _followed(file)
    with _locked(file.with_name(f".lock.{file.name}"), 0o600):
        mode, text = _content(file)
        lines = text.split(b"\n") if text else [b""]
        if lines[-1]:
            lines.append(b"")
        at = next((i for i, line in enumerate(lines) if _name(line) == name), None)
        fields = edit(None if at is None else _parsed(lines[at]))
        if at is not None:
            lines[at : at + 1] = [] if fields is None else [_line(name, fields)]
        elif fields is not None:
            lines.insert(len(lines) - 1, _line(name, fields))
        if (changed := b"\n".join(lines)) != text:
            _replace(file, changed, mode)


def accounts(file: Path) -> dict[bytes, Fields]:
    """Return the accounts of a text file with their fields; of a missing file, none."""
    _, text = _content(file)
    found: dict[bytes, Fields] = {}
    for line in text.split(b"\n"):
        if name := _name(line):
            found.setdefault(name, _parsed(line))
    return found


def _followed(file: Path) -> Path:
    """An absolute link is followed, one step: its target is what gets replaced."""
    if file.is_symlink() and (target := file.readlink()).is_absolute():
        return target
    return file


def _content(file: Path) -> tuple[int, bytes]:
    """Mode and text; of a file still to be made, what it will have."""
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if stat.S_ISREG(mode):
                return stat.S_IMODE(mode), opened.read()
    except FileNotFoundError:
        return 0o600, b""
    except IsADirectoryError:
        pass
    raise Failed(25, f"{file}: not a file.")


def _replace(file: Path, text: bytes, mode: int) -> None:
    made = file.with_name(f".tmp.{file.name}")
    made.unlink(missing_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as opened:
            opened.write(text)
            os.fchmod(descriptor, mode)
            with contextlib.suppress(FileNotFoundError):
                owner = file.stat()
                if os.geteuid() == 0:
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
            opened.flush()
            os.fsync(descriptor)
        os.rename(made, file)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def _name(line: bytes) -> bytes:
    return b"" if line.startswith(b"#") else line.partition(b"\t")[0]


def _parsed(line: bytes) -> Fields:
    _, _, text = line.partition(b"\t")
    found: Fields = {}
    for field in text.split(b"|") if text else []:
        key, separator, value = field.partition(b"=")
        found.setdefault(key, value if separator else None)
    return found


def _line(name: bytes, fields: Fields) -> bytes:
    written = [key if value is None else key + b"=" + value for key, value in fields.items()]
    return name + b"\t" + b"|".join(written) if written else name


@contextlib.contextmanager
def _locked(path: Path, mode: int) -> Iterator[None]:
    """Hold an exclusive lock on a file that stays."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
