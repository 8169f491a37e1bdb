"""sharedindexinstall: put a new index of shared accounts in place of the old one.

See sharedindexinstall(8).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from courier import paths


def main() -> int:
    new, old = paths.SYSCONFDIR / "shared.tmp", paths.SYSCONFDIR / "shared"
    try:
        files = sorted(path.name for path in new.iterdir() if not path.name.startswith("."))
    except OSError as error:
        print(f"{new}: {error.strerror}", file=sys.stderr)
        files = []
    if not files:
        print(f"{new} is empty!")
        return 1
    if not old.is_dir():
        print(f"{old} does not exist!")
        return 1
    try:
        install(new, old, files)
    except OSError as error:
        print(f"sharedindexinstall: {error.filename or old}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def install(new: Path, old: Path, files: list[str]) -> None:
    """Move the new files over the old ones, and remove the old ones that no new one replaces.

    Servers see each file as it was or as it is. The file that names others comes last, so that it never names one
    that is not there yet; what it no longer names goes after that.
    """
    for name in sorted(files, key=lambda one: (one == "index", one)):
        _move(new / name, old / name)
    for path in old.iterdir():
        if path.name not in files and not path.name.startswith(".") and not path.is_dir():
            path.unlink()


def _move(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
        return
    except OSError:
        if source.stat().st_dev == target.parent.stat().st_dev:
            raise
    # On another file system: copied beside the old one first.
    descriptor, name = tempfile.mkstemp(prefix=".new.", dir=target.parent)
    os.close(descriptor)
    try:
        shutil.copy2(source, name)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
    source.unlink()


if __name__ == "__main__":
    sys.exit(main())
