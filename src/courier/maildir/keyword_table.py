"""Keyword sets of a folder by number. The table only grows, so that old numbers stay readable."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence


class KeywordTable:
    """Set number n is ``sets[n]``; 0 is the empty set. Threads may ask at once."""

    def __init__(self) -> None:
        self.sets: list[tuple[str, ...]] = [()]
        self._numbers: dict[tuple[str, ...], int] = {(): 0}
        self._mutex = threading.Lock()

    def number(self, words: Iterable[str]) -> int:
        """Give the number of a set, adding it if it is new."""
        key = tuple(sorted(words, key=str.lower))
        with self._mutex:
            number = self._numbers.setdefault(key, len(self.sets))
            if number == len(self.sets):
                self.sets.append(key)
        return number

    def numbers_of(self, sets: Sequence[Iterable[str]]) -> list[int]:
        """Give the numbers here of sets that are numbered otherwise elsewhere."""
        return [self.number(words) for words in sets]

    def words(self, numbers: Iterable[int]) -> list[str]:
        """List the words in some sets, sorted, in the first spelling met."""
        spelling: dict[str, str] = {}
        for number in sorted(numbers):
            for word in self.sets[number]:
                spelling.setdefault(word.lower(), word)
        return [spelling[word] for word in sorted(spelling)]
