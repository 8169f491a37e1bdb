"""sysconftool: merge new versions of settings files into the files in use.

DESCRIPTION
    ``sysconftool [-v] [-n] [-f] [-r VERSION] FILE[.dist] ...`` takes each FILE.dist, puts the
    settings of FILE in, and makes the result FILE; the old one becomes FILE.bak. A file of the
    same version is left alone. What became of each section goes to standard output.

    -n    say what would be done, and do nothing
    -f    merge files of the same version, too
    -v    say which version of Courier's sysconftool this one is like
    -r    fail unless that version is at least VERSION

    Exit codes: 0, or 9 if a file failed; 1 for wrong usage.

SECURITY
    Runs as whoever started it, who has to be able to write FILE's directory. A symbolic link at
    FILE is followed only if it is root's or the caller's own. See courier.replace_file.

FILES
    FILE, FILE.dist, FILE.bak; FILE.new for a moment. The format: courier.dist_merge.
"""

from __future__ import annotations

import getopt
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from courier import dist_merge, replace_file

VERSION = "0.22"

_USAGE = "Usage: sysconftool [-v] [-n] [-f] [-r VERSION] FILE[.dist] ...\n"
_FAILED = 9


def main(arguments: Sequence[str]) -> int:
    try:
        options, names = getopt.getopt(list(arguments), "vnfr:")
    except getopt.GetoptError as error:
        sys.stderr.write(f"sysconftool: {error}\n{_USAGE}")
        return 1
    for option, value in options:
        if option == "-v":
            print(VERSION)
        elif option == "-r" and _components(value) > _components(VERSION):
            sys.stderr.write(f"sysconftool {value}: Version not supported.\n")
            return 1
    chosen = {option for option, _ in options}
    results = [merge(name, force="-f" in chosen, dry="-n" in chosen) for name in names]
    return max(results, default=0)


def _components(version: str) -> list[tuple[int, str]]:
    """For comparison: runs of digits as numbers."""
    found = re.findall(r"(\d+)|([^\d.]+)", version)
    return [(int(digits or 0), letters) for digits, letters in found]


def merge(name: str, *, force: bool = False, dry: bool = False) -> int:
    """Merge one file and print the report; return its exit code."""
    name = name.removesuffix(".dist")
    template = Path(name + ".dist")
    try:
        live = replace_file.real_path(Path(name))
        data = template.read_bytes()
        merged = dist_merge.merge(data, replace_file.read(live), str(template), force=force)
    except dist_merge.HeaderNotFound:
        print(f"{template}: configuration header not found.")
        return _FAILED
    except OSError as error:
        return _failed(name, error)
    if merged is None:
        return 0
    print(os.path.basename(name) + ":")
    for line in merged.report:
        print("  " + line)
    if not dry:
        try:
            replace_file.replace(live, merged.text, template.stat())
        except OSError as error:
            return _failed(name, error)
    return 0


def _failed(name: str, error: OSError) -> int:
    print(f"{error.filename or name}: {error.strerror}")
    return _FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
