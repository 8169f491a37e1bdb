"""userdb: change an account in userdb's text, or show it. See userdb(8)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from courier.auth import userdb, userdb_source
from courier.auth.userdb_source import Failed, Fields

_USAGE = """\
Usage: {0} [path/.../ | -f file ]name set field=value field=value...
       {0} [path/.../ | -f file ]name unset field field...
       {0} [path/.../ | -f file ]name del
       {0} -show [path/... | -f file ] [name]
"""


class Usage(Exception):
    """The command line is none."""


@dataclass(frozen=True, slots=True)
class Target:
    """A text file and an account in it; an empty name is all of them."""

    file: Path
    name: bytes


def main(arguments: Sequence[str]) -> int:
    try:
        return _run([os.fsencode(argument) for argument in arguments])
    except Usage:
        sys.stdout.write(_USAGE.format(sys.argv[0]))  # Courier: not on standard error
        return 1
    except Failed as failure:
        for line in failure.lines:
            print(line, file=sys.stderr)
        return failure.status
    except OSError as error:
        print(f"Can't open {error.filename or userdb.SOURCE}: {error.strerror}", file=sys.stderr)
        return error.errno or 255


def _run(arguments: list[bytes]) -> int:
    if any(set(b"|\n") & set(argument) for argument in arguments):
        raise Failed(22, "Invalid field or value.")
    if userdb.SOURCE.is_symlink():
        raise Failed(
            255, "ERROR: Wrong userdb command.", f"       ({userdb.SOURCE} is a symbolic link)"
        )
    if arguments[:1] == [b"-show"]:
        target, rest = _target(arguments[1:])
        if rest:
            raise Usage
        return _show(target)
    target, rest = _target(arguments)
    if not target.name or not rest:
        raise Usage
    # Courier takes a TAB, and the name is another one then.
    if b"\t" in target.name:
        raise Failed(22, "Invalid field or value.")
    return _change(target, rest[0], rest[1:])


def _target(arguments: list[bytes]) -> tuple[Target, list[bytes]]:
    if arguments[:1] == [b"-f"]:
        if len(arguments) < 2:
            raise Usage
        file, arguments = Path(os.fsdecode(arguments[1])), arguments[2:]
        return Target(file, b"".join(arguments[:1])), arguments[1:]
    path, slash, name = b"".join(arguments[:1]).rpartition(b"/")
    file = userdb.SOURCE / os.fsdecode(path) if slash else userdb.SOURCE
    return Target(file, name), arguments[1:]


def _show(target: Target) -> int:
    accounts = userdb_source.accounts(target.file)
    if target.name:
        lines = [_field(*field) for field in accounts.get(target.name, {}).items()]
    else:
        lines = list(accounts)
    sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines))
    return 0


def _field(key: bytes, value: bytes | None) -> bytes:
    return key if value is None else key + b"=" + value


def _change(target: Target, verb: bytes, arguments: list[bytes]) -> int:
    match verb:
        case b"set":
            try:
                given = _given(target.name, arguments)
            except EOFError:
                return 1
            userdb_source.change(target.file, target.name, lambda found: (found or {}) | given)
        case b"unset":
            userdb_source.change(target.file, target.name, lambda found: _without(found, arguments))
        case b"del" if not arguments:
            userdb_source.change(target.file, target.name, lambda found: None)
        case _:
            raise Usage
    return 0


def _without(found: Fields | None, names: list[bytes]) -> Fields | None:
    if found is None:
        return None
    return {key: value for key, value in found.items() if key not in names}


def _given(name: bytes, arguments: list[bytes]) -> Fields:
    """FIELD=VALUE as it is; the value of a FIELD alone is a line of standard input.

    Raises:
        EOFError: there is no such line.
    """
    fields: Fields = {}
    for argument in arguments:
        key, separator, value = argument.partition(b"=")
        fields[key] = value if separator else _asked(name, key)
    return fields


def _asked(name: bytes, key: bytes) -> bytes:
    if sys.stdin.isatty():
        sys.stdout.buffer.write(name + b"." + key + b": ")
        sys.stdout.buffer.flush()
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError
    value = line.removesuffix(b"\n")
    if b"|" in value:
        raise Failed(22, "Invalid field or value.")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
