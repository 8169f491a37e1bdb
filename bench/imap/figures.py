"""What was measured: times of each round by row and server, or why there are none."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TypedDict

from bench.connection import Sample


class Stored(TypedDict):
    """A cell as the file of results has it."""

    values: list[float]
    processor: list[float]
    octets: int
    outcome: str


@dataclass
class Cell:
    """One row of one server. Values are seconds, or octets of memory."""

    values: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    octets: int = 0
    outcome: str = ""  # why there is no value, or what is wrong with them

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def median_processor(self) -> float | None:
        return statistics.median(self.processor) if self.processor else None


Rows = dict[str, dict[str, Cell]]


class Figures:
    """All cells of one folder's size: by section, row and server, in the order of measuring."""

    def __init__(self) -> None:
        self.sections: dict[str, Rows] = {}
        self._given_up: set[tuple[str, str, str]] = set()

    def cell(self, section: str, row: str, server: str) -> Cell:
        return self.sections.setdefault(section, {}).setdefault(row, {}).setdefault(server, Cell())

    def find(self, section: str, row: str, server: str) -> Cell | None:
        return self.sections.get(section, {}).get(row, {}).get(server)

    def add(self, section: str, row: str, server: str, sample: Sample) -> None:
        cell = self.cell(section, row, server)
        cell.values.append(sample.seconds)
        if sample.processor_s is not None:
            cell.processor.append(sample.processor_s)
        cell.octets = sample.octets

    def add_value(self, section: str, row: str, server: str, value: float) -> None:
        self.cell(section, row, server).values.append(value)

    def give_up(self, section: str, row: str, server: str, outcome: str) -> None:
        """Say why there is no value; later rounds leave the row out."""
        self.cell(section, row, server).outcome = outcome
        self._given_up.add((section, row, server))

    def is_given_up(self, section: str, row: str, server: str) -> bool:
        return (section, row, server) in self._given_up

    def stored(self) -> dict[str, dict[str, dict[str, Stored]]]:
        return {
            section: {
                row: {
                    server: Stored(
                        values=[round(value, 7) for value in cell.values],
                        processor=[round(value, 7) for value in cell.processor],
                        octets=cell.octets,
                        outcome=cell.outcome,
                    )
                    for server, cell in cells.items()
                }
                for row, cells in rows.items()
            }
            for section, rows in self.sections.items()
        }

    @classmethod
    def restored(cls, stored: dict[str, dict[str, dict[str, Stored]]]) -> Figures:
        figures = cls()
        figures.sections = {
            section: {
                row: {server: Cell(**cell) for server, cell in cells.items()}
                for row, cells in rows.items()
            }
            for section, rows in stored.items()
        }
        return figures
