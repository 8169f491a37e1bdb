"""authdaemonrc: typed values, clear errors, and two readers that agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authdaemond import settings
from authdaemond.settings import SettingsError
from courier.auth import client
from courier.settings import table
from tests.support.servers import ROOT

DIST = ROOT / "conf/authdaemonrc.dist"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "authdaemonrc"


def load(file: Path, text: str) -> tuple[settings.Settings, list[str]]:
    file.write_text(text)
    warnings: list[str] = []
    return settings.load(file, warnings.append), warnings


def test_shipped_values(file: Path) -> None:
    found, warnings = load(file, DIST.read_text())

    assert found.modules == ("authpam",)
    assert found.daemons == 5
    assert (found.debug_login, found.default_options, found.logger_options) == (0, "", ())
    assert [line for line in warnings if "authdaemonvar" not in line] == []
    assert client.AUTHDAEMONVAR.name == "authdaemon"


def test_shipped_sections_are_couriers() -> None:
    """With their revisions, in their order: the merge carries values over by them."""
    assert re.findall(r"^##NAME: (.*)$", DIST.read_text(), re.MULTILINE) == [
        "authmodulelist:3", "authmodulelistorig:4", "daemons:0", "authdaemonvar:2", "DEBUG_LOGIN:0",
        "DEFAULTOPTIONS:0", "LOGGEROPTS:0", "SUCCESS_CACHE:0", "SCRAM_ITERATIONS:0", "LDAP_TLS_OPTIONS:0",
    ]  # fmt: skip


def test_shipped_settings_are_the_settings_read() -> None:
    shipped = re.findall(r"^(\w+)=", DIST.read_text(), re.MULTILINE)

    assert sorted(shipped) == sorted(one.name for one in table(settings.Settings).values())


def test_obsolete_modules(file: Path) -> None:
    """They are told with what became of them; Courier skips them without a word."""
    found, warnings = load(file, 'authmodulelist="authcram authpam"\n')

    assert found.modules == ("authcram", "authpam")
    assert warnings == [
        f"{file}:1: authmodulelist: authcram: obsolete; each module does CRAM itself"
    ]


def test_nothing_set(file: Path) -> None:
    """All modules there are, in Courier's order."""
    found, warnings = load(file, "")

    assert found.modules[:2] == ("authuserdb", "authpam") and len(found.modules) == 10
    assert found.daemons == 0
    assert warnings == []


def test_environment_has_every_variable(file: Path) -> None:
    """An option of the LDAP library is passed on without a word; another name is told."""
    found, warnings = load(file, "LDAPTLS_CACERT=/ca.pem\nMYVAR=1\n")

    assert found.environment["LDAPTLS_CACERT"] == "/ca.pem"
    assert found.environment["MYVAR"] == "1"
    assert [line.split(": ")[1] for line in warnings] == ["MYVAR"]


@pytest.mark.parametrize(
    ("text", "line", "name"),
    [
        ("daemons=5\nauthmodulelist='authpam'\n", 2, "authmodulelist"),
        ('authmodulelist="auth\\\npam"\n', 1, "authmodulelist"),
        ("daemons=5\n daemons=6\n", 2, "daemons"),
        ("daemons=$HOWMANY\nHOWMANY=3\ndaemons=\"$HOWMANY\"\n", 3, "daemons"),
        ("DEBUG_LOGIN=1\ndaemons=6 true\n", 2, "daemons"),
        ('authmodulelist="authpam/../x"\n', 1, "authmodulelist"),
        (f'authmodulelist="{"x" * 41}"\n', 1, "authmodulelist"),
        ("daemons=many\n", 1, "daemons"),
        ("\n\nDEBUG_LOGIN=loud\n", 3, "DEBUG_LOGIN"),
        ("DEFAULTOPTIONS='a\nb'\n", 1, "DEFAULTOPTIONS"),
        ("LOGGEROPTS='\"'\n", 1, "LOGGEROPTS"),
    ],
)  # fmt: skip
def test_refused(file: Path, text: str, line: int, name: str) -> None:
    """One line that names file, line and setting."""
    with pytest.raises(SettingsError) as refused:
        load(file, text)

    assert [
        found.startswith(f"{file}:{line}: {name}: expected ") for found in refused.value.lines
    ] == [True]


@pytest.mark.parametrize(
    "text",
    [
        'authmodulelist="authuserdb authpam" # both\ndaemons=3 # few\n',
        "authmodulelist=authpam\ndaemons=5\n",
        'authmodulelist="authuserdb  authpam"\ndaemons="05"\n',
        "authmodulelist=authpam\nauthmodulelist=authuserdb\n",
    ],
)
def test_both_readers_agree(file: Path, text: str) -> None:
    load(file, text)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        settings.load(tmp_path / "none")
