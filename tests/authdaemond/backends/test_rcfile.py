"""Modules' settings files: the format, and that shipped entries, readers and manual pages agree."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from authdaemond.backends import authldap_settings, authmysql, authpgsql, authsqlite, rcfile
from authdaemond.backends.rcfile import RcError, RcFile
from tests.conftest import missing
from tests.support.servers import COURIER, ROOT

MODULES: dict[str, tuple[Callable[[RcFile], object], list[str]]] = {
    "authldaprc": (authldap_settings.settings, ["authldap_settings.py"]),
    "authmysqlrc": (authmysql.settings, ["authmysql.py", "sql.py"]),
    "authpgsqlrc": (authpgsql.settings, ["authpgsql.py", "sql.py"]),
    "authsqliterc": (authsqlite.settings, ["authsqlite.py", "sql.py"]),
}
SOURCES = ROOT / "src/authdaemond"
#: Names that are read as well, for files in which they stand.
ALSO_READ = {"MYSQL_SSL_CIPHERS", "MYSQL_DEFAULTDELIVERY"}
UNUSED = {"PGSQL_DATABASE"}

ENTRY = re.compile(r"^(?:# )?((?:LDAP|MYSQL|PGSQL|SQLITE|DEFAULT)_[A-Z_]+)\t", re.MULTILINE)


def written(directory: Path, text: str, *, marker: bool = True) -> Path:
    path = directory / "authfoorc"
    path.write_text(text + ("##NAME: MARKER:0\n" if marker else ""))
    return path


def test_lines(tmp_path: Path) -> None:
    """Blanks, comments, continued lines; the first of two lines counts."""
    lines = "# A comment \\\n  NAME\t two  words \t\nNAME other\nEMPTY\n"
    lines += "LONG one\\\n  # two \\\n\tthree\n"

    file = rcfile.read(written(tmp_path, lines))

    assert file.text("NAME") == "two  words"
    assert file.text("LONG") == "one # two  three"
    assert file.text("EMPTY", "default") == "default"
    assert file.text("ABSENT", "default") == "default"


def test_without_the_marker(tmp_path: Path) -> None:
    """The words are Courier's."""
    with pytest.raises(RcError, match=r"marker line not found in .*authfoorc \(probably forgot"):
        rcfile.read(written(tmp_path, "NAME value\n", marker=False))


def test_wrong_values_name_their_line(tmp_path: Path) -> None:
    file = rcfile.read(written(tmp_path, "A 1\nPORT http\nWORD perhaps\n"))

    for call in (
        lambda: file.number("PORT"),
        lambda: file.one_of("WORD", "no", "yes"),
        lambda: file.required("X", "Y"),
    ):
        with pytest.raises(RcError, match=r"authfoorc(:[23]: (PORT|WORD)|: X or Y): expected "):
            call()


@pytest.mark.parametrize("name", MODULES)
def test_file_as_shipped(name: str) -> None:
    """It can be used as it is, and says of every setting that there is."""
    make, sources = MODULES[name]
    dist = ROOT / "conf" / f"{name}.dist"

    make(rcfile.read(dist))

    code = "".join((SOURCES / "backends" / source).read_text() for source in sources)
    prefix = name.removeprefix("auth").removesuffix("rc").upper()
    # In sql.py names stand without their prefix.
    read = set(re.findall(r'"((?:LDAP|MYSQL|PGSQL|SQLITE|DEFAULT)_[A-Z_]+)"', code))
    read |= {f"{prefix}_{found}" for found in re.findall(r'given\("([A-Z_]+)"', code)}
    read |= {f"{prefix}_{found}" for found in re.findall(r'\{prefix\}_([A-Z_]+)"', code)}
    if "sql" in name:
        read |= {f"{prefix}_{verb}_CLAUSE" for verb in ("SELECT", "ENUMERATE", "CHPASS")}
        read -= {f"{prefix}_DEFAULTDELIVERY{'' if prefix == 'MYSQL' else '_FIELD'}"}
    shipped = set(ENTRY.findall(dist.read_text()))
    assert shipped - UNUSED == read - ALSO_READ


@pytest.mark.parametrize("name", MODULES)
def test_manual_page_says_of_every_setting(name: str) -> None:
    page = "authldap.5" if name == "authldaprc" else "authsqlite.5"
    text = (SOURCES / page).read_text()

    for setting in set(ENTRY.findall((ROOT / "conf" / f"{name}.dist").read_text())) - UNUSED:
        tail = setting if name == "authldaprc" else setting.partition("_")[2]
        assert tail in text, setting


@pytest.mark.courier
@pytest.mark.parametrize("name", MODULES)
def test_sections_are_couriers(name: str) -> None:
    """The merge carries an administrator's values over by their names and revisions."""
    theirs = COURIER / "etc/courier" / name
    if not theirs.exists():
        missing(f"Debian's {theirs}, see `make tools`")
    ours = ROOT / "conf" / f"{name}.dist"

    def sections(path: Path) -> list[str]:
        return re.findall(r"^##NAME: .*$", path.read_text(), re.MULTILINE)

    assert sections(ours) == sections(theirs)
