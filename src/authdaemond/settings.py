"""authdaemond's settings: one line for each, in the order of `conf/authdaemonrc.dist`.

Each is explained in authdaemond(8). The file is Courier's, `/etc/courier/authdaemonrc`, and has two
readers there: the start script sources it, the daemon takes two settings from it line by line. A
file that means different things to the two is refused.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from courier import log, paths, shell
from courier import setting_reader as read
from courier.auth import client, scram
from courier.setting_reader import Expected
from courier.settings import SettingsError, notices, setting, values
from courier.shell import Assignment, Origin

__all__ = ["FILE", "Settings", "SettingsError", "load"]

FILE = paths.SYSCONFDIR / "authdaemonrc"

#: Courier's order; those that aren't installed are skipped.
ALL_MODULES = (
    "authuserdb authpam authpwd authshadow authpgsql authldap authmysql authsqlite authcustom "
    "authpipe"
)
_LONGEST_MODULE_NAME = 40


# --- Readers ------------------------------------------------------------------------------------


def _modules(text: str) -> tuple[str, ...]:
    words = tuple(text.split())
    if not all(re.fullmatch(r"[A-Za-z0-9_]+", word) for word in words) or any(
        len(word) > _LONGEST_MODULE_NAME for word in words
    ):
        raise Expected("names of modules separated by blanks")
    return words


def _options(text: str) -> str:
    if re.search(r"[\0-\x1f]", text):
        raise Expected("options separated by commas")
    return text


def _debug(text: str) -> int:
    return max(read.atoi(text), 0)


def _iterations(text: str) -> int:
    return read.number(scram.ITERATIONS, scram.MOST_ITERATIONS)(text) if text else scram.ITERATIONS


# --- The table ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of authdaemond's settings; ``environment`` holds every variable of the file."""

    modules: tuple[str, ...] = setting("authmodulelist", _modules, unset=tuple(ALL_MODULES.split()))
    modules_orig: tuple[str, ...] = setting("authmodulelistorig", _modules, unset=())
    daemons: int = setting("daemons", read.at_least(0, empty=0), unset=0)
    authdaemonvar: str | None = setting("authdaemonvar", read.text_or_none, unset=None)
    debug_login: int = setting("DEBUG_LOGIN", _debug, unset=0)
    default_options: str = setting("DEFAULTOPTIONS", _options, unset="")
    success_cache_s: int = setting("SUCCESS_CACHE", read.at_least(0, empty=0), unset=0)
    scram_iterations: int = setting("SCRAM_ITERATIONS", _iterations, unset=scram.ITERATIONS)
    logger_options: tuple[str, ...] = setting("LOGGEROPTS", read.options, unset=())

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


#: Read by LDAP's library from the environment: any option of ldap.conf(5) behind `LDAP`.
_LDAP = re.compile(r"LDAP[A-Z_]+\Z")

_OBSOLETE = {
    "version": "the kind of daemon follows from authmodulelist",
    "AUTHDAEMONRC": "the file's place is built in",
}

_OBSOLETE_MODULES = {
    "authcram": "each module does CRAM itself",
    "authdaemon": "this is what it asked",
}


def load(path: Path = FILE, warn: Callable[[str], None] = log.warn) -> Settings:
    """Read the settings; unknown and obsolete names are told to ``warn``.

    Raises:
        SettingsError: with a line for each value, or for the file, that can't be used.
    """
    try:
        assignments = shell.read([path], paths.SHELL_VARIABLES)
        lines = path.read_text("utf-8", "surrogateescape").split("\n")
    except shell.ShellError as error:
        raise SettingsError([str(error)]) from error
    except OSError as error:
        raise SettingsError([f"{error.filename}: {error.strerror}"]) from error
    found = values(Settings, assignments, for_daemon=True)
    _compare(path, lines, assignments)
    others = {name for name in assignments if _LDAP.match(name)}
    for line in notices(Settings, assignments, others, _OBSOLETE):
        warn(line)
    for name in found.get("modules", ()):
        if name in _OBSOLETE_MODULES:
            origin = assignments["authmodulelist"].origin
            warn(f"{origin}: authmodulelist: {name}: obsolete; {_OBSOLETE_MODULES[name]}")
    if (place := found.get("authdaemonvar")) and Path(place) != client.AUTHDAEMONVAR:
        origin = assignments["authdaemonvar"].origin
        warn(f"{origin}: authdaemonvar: not used, the directory is {client.AUTHDAEMONVAR}")
    environment = paths.SHELL_VARIABLES | {name: one.value for name, one in assignments.items()}
    return Settings(**found, environment=environment)


def _compare(path: Path, lines: list[str], assignments: Mapping[str, Assignment]) -> None:
    """Refuse what Courier's authdaemond would read differently than a shell does.

    Raises:
        SettingsError: with a line for each of its two settings that has two meanings.
    """
    theirs: dict[str, tuple[str, Origin]] = {}
    for number, line in enumerate(lines, 1):
        if found := _read_by_courier(line):
            theirs[found[0]] = found[1], Origin(str(path), number)
    wrong = []
    for name, meaning in (("authmodulelist", str.split), ("daemons", _number)):
        ours = assignments.get(name)
        shells = ours.value if ours else None
        couriers, place = theirs.get(name, (None, ours.origin if ours else Origin(str(path))))
        if meaning(shells or "") != meaning(couriers or ""):
            wrong.append(
                f"{ours.origin if ours else place}: {name}: expected a value on one line, at most "
                f"in double quotes, found {shells!r} for a shell and {couriers!r} for Courier's "
                "daemon"
            )
    if wrong:
        raise SettingsError(wrong)


def _number(text: str) -> int:
    """C's atoi, without exception."""
    match = re.match(r"\s*[+-]?[0-9]{1,18}", text)
    return int(match[0]) if match else 0


def _read_by_courier(line: str) -> tuple[str, str] | None:
    """A line as Courier's daemon takes it: `#` anywhere begins a comment, quotes are double."""
    name, separator, value = line.partition("#")[0].partition("=")
    if not separator:
        return None
    value = value.lstrip()
    return name, value[1:].partition('"')[0] if value.startswith('"') else value
