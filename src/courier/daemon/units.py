"""A generator of systemd's: what the settings PORT, ADDRESS and START mean to the socket units.

The manager runs it at boot and at ``systemctl daemon-reload`` (systemd.generator(7)). It adds
drop-ins to the units and leaves the administrator's the last word: theirs are ``override.conf``, and
later names win. Units whose settings can't be read stay as they are shipped; the server will say
what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from courier import paths
from courier.daemon.service import files, service
from courier.daemon.settings import S, Warn
from courier.setting_reader import Address
from courier.settings import SettingsError

_NAME = "10-settings.conf"


@dataclass(frozen=True, slots=True)
class Unit:
    """The pair of units that runs a daemon, without ``.socket`` and ``.service``."""

    name: str
    daemon: str
    #: As the socket unit is shipped.
    port: int
    #: The setting that says whether there is to be a server.
    start: str


def main(
    load: Callable[[Sequence[Path], Warn], S],
    units: Sequence[Unit],
    arguments: Sequence[str],
    directory: Path = paths.SYSCONFDIR,
) -> int:
    """Write drop-ins for ``units``; ``arguments`` are the generator's.

    Returns: an exit code, 1 if the settings of one can't be read, which is told on stderr.
    """
    if not arguments or not Path(arguments[0]).is_dir():
        print("expected the directory for generated units", file=sys.stderr)
        return 2
    code = 0
    for unit in units:
        try:
            found = drop_ins(load, unit, directory)
        except SettingsError as error:
            for line in error.lines:
                print(f"{unit.name}: {line}", file=sys.stderr)
            code = 1
            continue
        for name, text in found.items():
            target = Path(arguments[0], f"{name}.d", _NAME)
            target.parent.mkdir(exist_ok=True)
            target.write_text(text)
    return code


def drop_ins(
    load: Callable[[Sequence[Path], Warn], S], unit: Unit, directory: Path
) -> Mapping[str, str]:
    """Give the text of each drop-in by the unit that it is for; no settings, none of them.

    Raises:
        SettingsError: the settings can't be read.
    """
    read = files(unit.daemon, directory)
    own = read[-1]
    if not own.exists():
        return {}
    one = service(load(read, _tell_nobody), unit.daemon)
    # Without it systemctl wouldn't say that the file has changed since.
    lines = ["[Unit]", f"SourcePath={own}"]
    if not one.is_started:
        # A path that never exists, and says in `systemctl status` what is missing.
        condition = f"ConditionPathExists={own}/{unit.start}=YES"
        return {
            f"{unit.name}.socket": _text([*lines, condition]),
            f"{unit.name}.service": _text(["[Unit]", condition]),
        }
    if one.listen != ((None, unit.port),):
        lines += ["[Socket]", "ListenStream=", *_listening(one.listen)]
    return {f"{unit.name}.socket": _text(lines)}


def _listening(places: Sequence[tuple[Address | None, int]]) -> Iterator[str]:
    yield "FreeBind=yes"  # an address that comes up later is fine
    for address, port in places:
        if address is None:
            yield f"ListenStream={port}"
        elif address.version == 4:
            yield f"ListenStream={address}:{port}"
        else:
            yield f"ListenStream=[{address}]:{port}"


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _tell_nobody(line: str) -> None:
    """The server tells what is doubtful."""
