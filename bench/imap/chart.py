"""The chart, as SVG: for each folder's size the rows of some sections, a bar for each server, logarithmic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from html import escape

from bench.imap import rows
from bench.imap.contender import SERVERS
from bench.imap.figures import Cell, Figures
from bench.imap.report import milliseconds

_SECTIONS = (rows.FIRST, rows.SECOND, rows.SINCE, rows.CHANGED)
_COLOURS = {"ours": "#1b6ca8", "courier": "#c98a1b", "dovecot": "#7a7a7a"}
_WIDTH = 1000
_LEFT = 330  # where bars begin
_RIGHT = 90  # for the figure behind the longest bar
_BAR = 9
_ROW = 3 * _BAR + 8
_HEADING = 30
_LEAST_S = 0.0001


def chart(sizes: Mapping[int, Figures]) -> str:
    """Draw all that has times."""
    longest = max(
        (cell.median or 0 for figures in sizes.values() for cell in _cells(figures)), default=1.0
    )
    scale = _Scale(max(longest, 10 * _LEAST_S))
    drawn: list[str] = []
    at = 60
    for size in sorted(sizes):
        for section in _SECTIONS:
            found = sizes[size].sections.get(section)
            if not found:
                continue
            drawn.append(_text(10, at + 18, f"{size:,} messages, {rows.SHORT[section]}", "heading"))
            at += _HEADING
            for row, cells in found.items():
                drawn += _row(scale, at, row, cells)
                at += _ROW
            at += 12
    return _page(at + 10, [*_legend(), *scale.lines(50, at), *drawn])


def _cells(figures: Figures) -> Iterator[Cell]:
    for section in _SECTIONS:
        for cells in figures.sections.get(section, {}).values():
            yield from cells.values()


class _Scale:
    """From seconds to a bar's length; each power of ten has a line."""

    def __init__(self, longest_s: float) -> None:
        self._powers = math.ceil(math.log10(longest_s / _LEAST_S))
        self._step = (_WIDTH - _LEFT - _RIGHT) / self._powers

    def length(self, seconds: float) -> float:
        return max(1.0, math.log10(max(seconds, _LEAST_S) / _LEAST_S) * self._step)

    def lines(self, top: int, bottom: int) -> Iterator[str]:
        for power in range(self._powers + 1):
            x = _LEFT + power * self._step
            seconds = _LEAST_S * 10**power
            label = f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"
            yield f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" class="grid"/>'
            yield _text(x, top - 5, label, "tick")


def _row(scale: _Scale, top: int, title: str, cells: Mapping[str, Cell]) -> Iterator[str]:
    yield _text(_LEFT - 8, top + 2 * _BAR, title, "title")
    for number, server in enumerate(SERVERS):
        cell = cells.get(server)
        if cell is None:
            continue
        y = top + number * _BAR
        median = cell.median
        if median is None:
            yield _text(_LEFT + 4, y + _BAR - 1, f"{server}: {cell.outcome}", "figure")
            continue
        length = scale.length(median)
        yield (
            f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR - 1}" '
            f'fill="{_COLOURS[server]}"/>'
        )
        yield _text(_LEFT + length + 4, y + _BAR - 1, _duration(median), "figure")


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{milliseconds(seconds)} ms"


def _legend() -> Iterator[str]:
    yield _text(10, 22, "Medians, logarithmic scale; shorter is better", "heading")
    for number, server in enumerate(SERVERS):
        x = _LEFT + 120 + 110 * number
        yield f'<rect x="{x}" y="12" width="12" height="12" fill="{_COLOURS[server]}"/>'
        yield _text(x + 18, 22, server, "legend")


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" class="{kind}">{escape(text)}</text>'


def _page(height: int, drawn: list[str]) -> str:
    style = (
        "text{font-family:sans-serif;fill:#222}.heading{font-size:14px;font-weight:bold}"
        ".title{font-size:12px;text-anchor:end}.legend{font-size:12px}.figure{font-size:9px}"
        ".tick{font-size:10px;text-anchor:middle}.grid{stroke:#ddd}"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}">',
            f"<style>{style}</style>",
            f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
            *drawn,
            "</svg>\n",
        ]
    )
