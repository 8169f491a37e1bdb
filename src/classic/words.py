"""A command line in Courier's manner: `-name` or `-name=value`, then other words.

What is said twice counts as it was said last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence


class Wrong(Exception):
    """A command line that can't be meant; the text is for standard error."""


def split(
    arguments: Sequence[str], known: Collection[str], wrong: str, *, lone_dash: bool
) -> tuple[list[tuple[str, str]], list[str]]:
    """Take the options off the front of a command line.

    Args:
        known: the options' names, without the dash.
        wrong: what is said of any other, with `{}` for the word.
        lone_dash: whether `-` ends the options; otherwise it is a wrong one.

    Returns: names and values, an empty value where there is none; and the words behind them.

    Raises:
        Wrong: an unknown option.
    """
    options = []
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "-" and lone_dash:
            break
        name, _, value = word[1:].partition("=")
        if name not in known:
            raise Wrong(wrong.format(word))
        options.append((name, value))
    return options, rest


def verbs(options: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Give the verbs among the options, in their order."""
    return (name for name, _ in options if name in ("start", "stop", "restart"))
