"""doc/differences.md: it has every difference that a dialog shows, and shows none that there is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dialog import LINE

ROOT = Path(__file__).parents[2]
DIALOGS = Path(__file__).parent
#: A standard, with one section or several: each is cited by itself.
_CITED = re.compile(r"RFC (\d+)((?:,? [0-9]+(?:\.[0-9]+)*\b)*)")
_UNCITED = "no RFC"


def cited(text: str) -> set[str]:
    """The standards that a reason gives; `_UNCITED` if there is none."""
    found = set()
    for number, sections in _CITED.findall(text):
        found |= {f"{number} {section}" for section in re.findall(r"[0-9.]+", sections)} or {number}
    return found or {_UNCITED}


def shown() -> dict[tuple[str, str], str]:
    """What dialogs show: a dialog and the reasons in it, each with what stands there."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted(DIALOGS.glob("*/*.dialog")):
        for reason in reasons(path.read_text(encoding="utf-8")):
            for citation in cited(reason):
                found[f"{path.parent.name}/{path.stem}", citation] = reason
    return found


def reasons(text: str) -> Iterator[str]:
    """The comments above the lines that are one server's; "as above" is no reason of its own."""
    comment: list[str] = []
    goes_on = False
    for line in text.splitlines():
        if line.startswith("#"):
            comment = [*comment, line[1:].strip()] if goes_on else [line[1:].strip()]
            goes_on = True
            continue
        goes_on = False
        match = LINE.fullmatch(line)
        reason = " ".join(comment)
        if match is not None and match["only"] and "as above" not in reason.lower():
            yield reason


def rows() -> list[list[str]]:
    lines = (ROOT / "doc" / "differences.md").read_text(encoding="utf-8").splitlines()
    cells = [
        line.strip("|").split("|") for line in lines if re.match(r"\|(?! Courier \||---)", line)
    ]
    return [[cell.strip() for cell in row] for row in cells]


ROWS = rows()
SHOWN = shown()


def citations(row: list[str]) -> set[str]:
    return cited(row[2]) | ({_UNCITED} if _UNCITED in row[2] else set())


@pytest.mark.parametrize(("dialog", "citation"), SHOWN, ids=lambda value: value.replace(" ", "-"))
def test_difference_is_listed(dialog: str, citation: str) -> None:
    """There is a row that names the dialog and the reason."""
    reason = SHOWN[dialog, citation]

    assert [row for row in ROWS if dialog in row[3].split(", ") and citation in citations(row)], (
        f"{dialog}.dialog differs, and doc/differences.md has no row for: {reason}"
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40].replace(" ", "-"))
def test_row_is_shown(row: list[str]) -> None:
    """Each dialog that a row names shows a difference for a reason that it gives; each test exists."""
    assert len(row) == 4
    for place in row[3].split(", "):
        if place.startswith("tests/"):
            assert (ROOT / place).is_file(), place
        elif not place.startswith("`"):
            assert [c for c in citations(row) if (place, c) in SHOWN], place


def test_marks_that_stand_in_all() -> None:
    """`no:` and `refused:` lines are there, and mean what the first rows say."""
    text = "".join(path.read_text(encoding="utf-8") for path in DIALOGS.glob("imapd/*.dialog"))

    for mark in ("no:", "refused:"):
        assert re.search(f"^{mark} ", text, re.M)
        assert [row for row in ROWS if row[3].startswith(f"`{mark}`")]
