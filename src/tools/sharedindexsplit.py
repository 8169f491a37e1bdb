"""sharedindexsplit: make files of an index of shared accounts from a list of accounts.

See sharedindexsplit(8).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_LEADING_DIGITS = re.compile(r"[0-9]{1,9}")
_SHAREDGROUP = re.compile(r"(?:^|,)sharedgroup=([^,]+)")
#: Columns of a line that is an account's, at least; and which one its options are in.
_LEAST, _OPTIONS = 4, 5


def main(arguments: Sequence[str]) -> int:
    if not arguments or not os.path.isdir(arguments[0]):
        print("Usage: sharedindexsplit outputdir [ letters ]", file=sys.stderr)
        return 2
    digits = _LEADING_DIGITS.match(arguments[1]) if len(arguments) > 1 else None
    try:
        lines = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").splitlines()
        files = split(lines, int(digits[0]) if digits else 0)
        for name, records in files.items():
            if "/" in name:
                print(f"sharedindexsplit: {name}: no name of a file", file=sys.stderr)
                return 1
            with (Path(arguments[0]) / name).open("a", errors="surrogateescape") as file:
                file.writelines(f"{record}\n" for record in records)
    except OSError as error:
        print(f"{error.filename or 'standard input'}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def split(lines: Iterable[str], letters: int) -> Mapping[str, Sequence[str]]:
    """Give the lines of each file: by the first ``letters`` of names, or by ``sharedgroup``."""
    files: dict[str, list[str]] = {}
    for line in lines:
        fields = line.partition("#")[0].split("\t")
        if len(fields) < _LEAST:
            continue
        if letters:
            key = fields[0][:letters].ljust(letters, "_")
        else:
            group = _SHAREDGROUP.search(fields[_OPTIONS]) if len(fields) > _OPTIONS else None
            key = group[1] if group else ""
        del fields[_OPTIONS : _OPTIONS + 1]  # nobody's business
        files.setdefault(f"index{key}", []).append("\t".join(fields))
    if letters:
        _add_levels(files, letters)
    return files


def _add_levels(files: dict[str, list[str]], letters: int) -> None:
    """Add the files of groups: each names those whose names are one letter longer."""
    prefix = len("index")
    for length in range(letters, 0, -1):
        for name in [name for name in files if len(name) == prefix + length]:
            group = f"{name[prefix:]}\t*\t{name}"
            files.setdefault(name[:-1], []).append(group)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
