"""The files of bench/results: all figures as JSON, and the page and the chart that are made of them.

A run replaces the rows that it has measured, of its sizes, and leaves the others, so that the large folders need
not be measured with the small ones. Ratios are of one run always: all servers of a row are replaced.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from bench.imap.chart import chart
from bench.imap.figures import Figures, Stored
from bench.imap.report import report
from tests.support.servers import ROOT

RESULTS = ROOT / "bench" / "results"
_NAME = "imap"


class _Size(TypedDict):
    head: str
    sections: dict[str, dict[str, dict[str, Stored]]]


def write(
    measured: dict[int, Figures], heads: dict[int, str], directory: Path = RESULTS
) -> list[Path]:
    """Add sizes to what is there, and make page and chart anew; return the files."""
    directory.mkdir(exist_ok=True)
    data, page, picture = (directory / f"{_NAME}.{kind}" for kind in ("json", "md", "svg"))
    stored: dict[str, _Size] = json.loads(data.read_text()) if data.exists() else {}
    for size, figures in measured.items():
        sections = stored.get(str(size), _Size(head="", sections={}))["sections"]
        for section, found in figures.stored().items():
            sections[section] = sections.get(section, {}) | found
        stored[str(size)] = _Size(head=heads[size], sections=sections)
    data.write_text(json.dumps(stored, indent=1) + "\n")
    sizes = {int(size): Figures.restored(one["sections"]) for size, one in stored.items()}
    all_heads = {int(size): one["head"] for size, one in stored.items()}
    picture.write_text(chart(sizes))
    page.write_text(report(sizes, all_heads, picture.name))
    return [data, page, picture]
