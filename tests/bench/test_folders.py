"""The benchmark of many folders: its goals, and rounds on a few."""

from __future__ import annotations

import pytest

from bench.connection import Sample
from bench.folders import maildirs, measure, rows
from bench.folders.__main__ import prepared
from bench.folders.goals import GOALS
from bench.folders.measure import Unequal
from bench.folders.report import report
from bench.imap import run as imap_run
from bench.imap.figures import Figures


def _figures(octets: int = 1000) -> Figures:
    """Ours takes half of the time of Dovecot's for everything, and twice the processor's."""
    figures = Figures()
    for goal in GOALS:
        figures.add(goal.section, goal.row, "ours", Sample(0.5, 2.0, octets, b""))
        figures.add(goal.section, goal.row, "dovecot", Sample(1.0, 1.0, 1000, b""))
    return figures


def test_goals_are_judged_by_time_and_by_the_processor() -> None:
    page = report(_figures(), "", [])

    lines = [line for line in page.splitlines() if "<=" in line]
    assert len(lines) == len(GOALS)
    assert all("| 500 | 0.5 |" in line and "| met | 2 |" in line for line in lines)


def test_server_that_tells_too_little() -> None:
    """Fewer octets than all names have are no answer to compare."""
    names = maildirs.names(30)
    measure.compare(_figures(sum(map(len, names))), names)
    with pytest.raises(Unequal):
        measure.compare(_figures(sum(map(len, names)) - 1), names)


@pytest.mark.parametrize("count", [1, 25, 26, 1000])
def test_names(count: int) -> None:
    """So many, all different, each below one that is there."""
    names = maildirs.names(count)

    assert len(set(names)) == count
    assert {name.rpartition(".")[0] for name in names} <= {"", *names}


@pytest.mark.slow
def test_rounds_are_measured_with_our_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row has a figure of each round that counts."""
    monkeypatch.setattr(imap_run, "SETTLE_S", 0.0)
    with prepared(6, 2, ["ours"]) as (run, _):
        for number in range(2):
            run.counts = number > 0
            measure.first(run, number)
            measure.later(run, number)
            measure.changed(run, number)
        measure.compare(run.figures, run.names)

    found = run.figures.sections
    assert list(found) == [rows.FIRST, rows.NEW, rows.AGAIN, rows.CHANGED]
    for section, cells in found.items():
        for row, of in cells.items():
            assert len(of["ours"].values) == 1, (section, row)
    assert list(found[rows.NEW]) == list(rows.ALL)
