"""Typed settings: a frozen dataclass with one line per setting, filled from files or environment.

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        use_locks: bool = setting("IMAP_USELOCKS", read.starts_with_1, unset=True)

A reader, one of `courier.setting_reader` or a program's own, turns a value's text into what the
program works with. ``unset`` is what Courier's programs do when the variable isn't there at all,
which is often not the value that the settings file is shipped with.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from courier.setting_reader import Expected, Reader
from courier.shell import Assignment

T = TypeVar("T")


class SettingsError(Exception):
    """Settings that can't be used: ``lines`` has one clear line for each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


@dataclass(frozen=True, slots=True)
class Setting:
    """What stands behind a field: the variable's name, how its text is read, who reads it."""

    name: str
    read: Callable[[str], object]
    by_daemon: bool

    @property
    def is_family(self) -> bool:
        """Whether the name is followed by a port number, as in `AUTHSERVICE143`."""
        return self.name.endswith("*")


def setting(name: str, read: Reader[T], *, unset: T, by_daemon: bool = False) -> T:
    """Declare a field. ``by_daemon``: means nothing to a session that somebody else started."""
    return _field(Setting(name, read, by_daemon), unset)


def family(name: str, read: Reader[T], *, by_daemon: bool = False) -> Mapping[int, T]:
    """Declare a field for all variables that are ``name`` and a port number."""
    return _field(Setting(name + "*", read, by_daemon), {})


def _field(declared: Setting, unset: T) -> T:
    return dataclasses.field(default_factory=lambda: unset, metadata={"setting": declared})


def table(settings: type) -> Mapping[str, Setting]:
    """Return the declared settings of a dataclass by field."""
    return {
        field.name: field.metadata["setting"]
        for field in dataclasses.fields(settings)
        if "setting" in field.metadata
    }


def values(
    settings: type, assignments: Mapping[str, Assignment], *, for_daemon: bool
) -> Mapping[str, Any]:  # Any: each field's own type
    """Read what is assigned, as keyword arguments for ``settings``.

    Raises:
        SettingsError: with a line for each value that its reader refused.
    """
    found: dict[str, Any] = {}
    wrong: list[str] = []
    for field, declared in table(settings).items():
        if declared.by_daemon and not for_daemon:
            continue
        for number, assignment in _assigned(declared, assignments).items():
            name = declared.name.rstrip("*") + (str(number) if number else "")
            try:
                value = declared.read(assignment.value)
            except Expected as expected:
                wrong.append(
                    f"{assignment.origin}: {name}: expected {expected}, found {assignment.value!r}"
                )
            else:
                if declared.is_family:
                    found.setdefault(field, {})[number] = value
                else:
                    found[field] = value
    if wrong:
        raise SettingsError(wrong)
    return found


def values_of(
    tables: Sequence[type], assignments: Mapping[str, Assignment], *, for_daemon: bool
) -> list[Mapping[str, Any]]:  # Any: each field's own type
    """Read what is assigned for each of several dataclasses.

    Raises:
        SettingsError: with the lines of them all.
    """
    found: list[Mapping[str, Any]] = []
    wrong: list[str] = []
    for one in tables:
        try:
            found.append(values(one, assignments, for_daemon=for_daemon))
        except SettingsError as error:
            wrong += error.lines
    if wrong:
        raise SettingsError(wrong)
    return found


def _assigned(declared: Setting, assignments: Mapping[str, Assignment]) -> Mapping[int, Assignment]:
    """The assignments to a setting: by port for a family, else under 0."""
    if not declared.is_family:
        return {0: assignments[declared.name]} if declared.name in assignments else {}
    port = re.compile(re.escape(declared.name[:-1]) + r"([1-9][0-9]{0,4})\Z")
    return {
        int(match[1]): assignment
        for name, assignment in assignments.items()
        if (match := port.match(name))
    }


def notices(
    settings: type,
    assignments: Mapping[str, Assignment],
    others: Collection[str],
    obsolete: Mapping[str, str],
) -> list[str]:
    """Return a line for each variable that is obsolete, or neither a setting nor in ``others``."""
    declared = table(settings).values()
    names = {one.name for one in declared if not one.is_family} | set(others)
    for one in declared:
        if one.is_family:
            names |= {f"{one.name[:-1]}{port}" for port in _assigned(one, assignments)}

    lines = []
    for name, assignment in assignments.items():
        if name in obsolete:
            lines.append(f"{assignment.origin}: {name}: obsolete; {obsolete[name]}")
        elif name not in names:
            lines.append(f"{assignment.origin}: {name}: no setting of ours, passed on unread")
    return lines
