"""doc/imap-extensions.md: it says something of every word that is announced, and names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imapd import capability, settings

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "doc" / "imap-extensions.md"
SHIPPED = re.search(r'^IMAP_CAPABILITY="(.*)"', (ROOT / "conf/imapd.dist").read_text(), re.M)


def tables() -> tuple[list[list[str]], list[list[str]]]:
    """Give the rows of the RFCs, and those of IMAP4rev2's sections."""
    first, _, second = TABLE.read_text().partition("\n## ")
    return rows(first), rows(second)


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


EXTENSIONS, SECTIONS = tables()


def announced() -> set[str]:
    """All that can be announced."""
    assert SHIPPED is not None
    environ = {
        "IMAP_CAPABILITY": SHIPPED[1] + " AUTH=PLAIN",
        "IMAP_ACL": "1",
        "IMAP_ID_FIELDS": "0",
        "IMAP_KEYWORDS": "1",
        "IMAP_MOVE_EXPUNGE_TO_TRASH": "1",
        "OUTBOX": ".Outbox",
        "SMAP_CAPABILITY": "SMAP1",
    }
    found: set[str] = set()
    variants: list[dict[str, str]] = [
        {"IMAP_MESSAGELIMIT": "1000"},
        {"IMAP_SAVELIMIT": "1000", "IMAP_CAPABILITY": SHIPPED[1] + " LITERAL-"},
    ]
    for more in variants:
        given = settings.from_environment(environ | more)
        found.update(capability.listed(given, tls=True, may_return=True).split(" "))
        found.update(
            capability.before_login(
                given,
                tls=False,
                offers_tls=True,
                needs_tls=True,
                has_identity=True,
                mechanisms=("SCRAM-SHA-1", "SCRAM-SHA-256"),
            ).split(" ")
        )
    return found


def said() -> set[str]:
    return {word.rstrip(",") for row in EXTENSIONS for word in row[0].split()}


@pytest.mark.parametrize("word", sorted(announced()))
def test_every_word_has_a_row(word: str) -> None:
    assert word in said() or word.partition("=")[0] in said()


def test_rows_are_sorted() -> None:
    """By the RFC's number; what is in no RFC comes last."""
    numbers = [row[0].partition(" ")[0] for row in EXTENSIONS]
    with_one = [int(number) for number in numbers if number.isdigit()]

    assert with_one == sorted(set(with_one))
    assert set(numbers[len(with_one) :]) == {"none:"}


def test_the_manual_page_names_the_same_standards() -> None:
    page = (ROOT / "src/imapd/imapd.8").read_text()
    named = re.findall(r"RFC\s(\d+) \(", page.partition(".SH STANDARDS")[2])

    assert sorted(map(int, named)) == sorted(
        int(number) for row in EXTENSIONS if (number := row[0].partition(" ")[0]).isdigit()
    )


@pytest.mark.parametrize("row", EXTENSIONS, ids=lambda row: row[0].replace(" ", "-"))
def test_files_of_a_row_exist(row: list[str]) -> None:
    """Code and tests, at least one of each."""
    assert len(row) == 4
    code = [module(name) for name in named(row[2])]
    tests = [test(name) for name in named(row[3])]

    assert code and tests
    assert [path for path in (*code, *tests) if not path.is_file()] == []


@pytest.mark.parametrize("row", SECTIONS, ids=lambda row: row[0].replace(" ", "-"))
def test_files_of_a_section_exist(row: list[str]) -> None:
    assert len(row) == 3
    assert [path for path in map(module, named(row[1])) if not path.is_file()] == []


def named(cell: str) -> list[str]:
    return [name for name in re.findall(r"`([^`]+)`", cell) if not name.endswith(":")]


def module(name: str) -> Path:
    if name.startswith("src/"):
        return ROOT / f"{name}.py"
    folder = ROOT / "src" if name.startswith(("courier/", "authdaemond/")) else ROOT / "src/imapd"
    return folder / f"{name}.py"


def test(name: str) -> Path:
    if name.startswith("tests/"):
        return ROOT / f"{name}.py"
    if name.endswith(".dialog"):
        return ROOT / "tests/dialogs/imapd" / name
    return ROOT / "tests/imapd" / f"{name}.py"


test.__test__ = False  # type: ignore[attr-defined]
