"""doc/hazards.md names tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_hazard_has_its_test() -> None:
    """Each row of the table names one at least, and each name is a test's."""
    rows = [
        line.split("|")
        for line in (ROOT / "doc/hazards.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| What")
    ]
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }

    assert len(rows) > 35
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row[-2])
        assert named, row
        assert set(named) <= there, row
