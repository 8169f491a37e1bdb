"""Threading, held against the RFC's steps taken one by one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imapd import threads
from imapd.threads import Messages
from tests.courier.message.strategies import linear


def written(forest: threads.Forest) -> str:
    """The threads with the numbers that a client sees."""
    template, order = threads.template(forest)
    numbers = range(1, len(order) + 1)
    return b"".join(threads.fill(template, order, numbers)).decode()


def references(
    *rows: tuple[str, str, str], dates: list[int] | None = None, replies: str = ""
) -> str:
    """Thread messages given as id, references and subject; ``replies`` has an R for each reply."""
    messages = Messages(
        sent=dates or list(range(len(rows))),
        subjects=[subject for _, _, subject in rows],
        replies=[letter == "R" for letter in replies.ljust(len(rows))],
        ids=[one for one, _, _ in rows],
        references=[refers.split() for _, refers, _ in rows],
    )
    return written(threads.references(messages))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((), ""),
        ((("a", "", ""),), "(1)"),
        ((("a", "", ""), ("b", "a", ""), ("c", "a b", "")), "(1 2 3)"),
        ((("a", "", ""), ("b", "a", ""), ("c", "a", "")), "(1 (2)(3))"),
        ((("c", "a b", ""), ("b", "a", ""), ("a", "", "")), "(3 2 1)"),
        ((("b", "x", ""), ("c", "x", "")), "((1)(2))"),  # their parent is not here
        ((("b", "x", ""),), "(1)"),
        ((("b", "w x y", ""), ("c", "w x z", "")), "((1)(2))"),
        ((("b", "w x", ""), ("x", "w", ""), ("d", "w", "")), "((2 1)(3))"),
        ((("a", "b", ""), ("b", "a", "")), "(2 1)"),  # a circle
        ((("a", "a", ""),), "(1)"),
        ((("a", "b b a", ""), ("b", "a", "")), "(1 2)"),  # what refers to itself has no parent
        ((("a", "", ""), ("a", "", ""), ("b", "a", "")), "(1 3)(2)"),  # an id used twice
        ((("", "", ""), ("", "", "")), "(1)(2)"),
        ((("a", "x", ""), ("b", "y x", ""), ("x", "z", "")), "(3 (1)(2))"),
        ((("a", "b c", ""), ("c", "", "")), "(2 1)"),  # c lists no references: it has no parent
    ],
)
def test_references(rows: tuple[tuple[str, str, str], ...], expected: str) -> None:
    """Steps 1 to 4, and how threads nest."""
    assert references(*rows) == expected


@pytest.mark.parametrize(
    ("subjects", "replies", "refers", "expected"),
    [
        ("S S", "  ", "", "((1)(2))"),
        ("S S", " R", "", "(1 2)"),
        ("S S", "R ", "", "(2 1)"),
        ("S S", "RR", "", "((1)(2))"),
        ("S S S", " RR", "", "(1 (2)(3))"),
        ("S S S", "   ", "", "((1)(2)(3))"),
        ("S T S", "", "", "((1)(3))(2)"),
        ("S S S S", "RRR", "x x", "((1)(2)(3)(4))"),  # two have a missing parent: a dummy
        ("S S S S", "RRRR", "x x y y", "((1)(2)(3)(4))"),
    ],
)
def test_subjects(subjects: str, replies: str, refers: str, expected: str) -> None:
    """Step 5: which thread goes below which."""
    given_references = refers.split()
    rows = [
        (f"id{number}", given_references[number] if number < len(given_references) else "", subject)
        for number, subject in enumerate(subjects.split())
    ]
    assert references(*rows, replies=replies) == expected


def test_dates_order_siblings_and_threads() -> None:
    """Steps 4 and 6; equal dates leave the mailbox's order."""
    rows = [
        ("a", "", ""),
        ("b", "a", ""),
        ("c", "a", ""),
        ("d", "", ""),
        ("e", "x", ""),
        ("f", "x", ""),
    ]

    assert references(*rows, dates=[5, 9, 7, 4, 8, 2]) == "((6)(5))(4)(1 (3)(2))"
    assert references(*rows, dates=[0] * 6) == "(1 (2)(3))(4)((5)(6))"


def test_refs() -> None:
    """Threads are ordered by their newest message, siblings by date; subjects say nothing."""
    rows = [("a", "", "S"), ("b", "", "S"), ("c", "a", "S"), ("d", "x", ""), ("e", "x", "")]
    messages = Messages(
        sent=[1, 3, 9, 8, 7],
        subjects=["S"] * 5,
        replies=[False] * 5,
        ids=[one for one, _, _ in rows],
        references=[refers.split() for _, refers, _ in rows],
    )

    assert written(threads.refs(messages)) == "(2)((5)(4))(1 3)"


@pytest.mark.parametrize(
    ("subjects", "dates", "expected"),
    [
        ("", [], ""),
        ("B A B A B", [1, 2, 3, 4, 5], "(1 (3)(5))(2 4)"),
        ("B A B", [5, 2, 1], "(3 1)(2)"),
        ("- - B", [1, 1, 0], "(3)(1 2)"),  # those without a subject have the same
    ],
)
def test_ordered_subject(subjects: str, dates: list[int], expected: str) -> None:
    """The first of a subject, then the others below it, by date."""
    words = [word.strip("-") for word in subjects.split()]
    assert written(threads.ordered_subject(Messages(dates, words))) == expected


# -- the algorithm as it is written --------------------------------------------------------------


@dataclass(eq=False)
class Container:
    """A message of the RFC's text; ``number`` is None for a dummy."""

    number: int | None
    parent: Container | None = None
    children: list[Container] = field(default_factory=list)

    def is_below(self, other: Container) -> bool:
        one: Container | None = self
        while one is not None:
            if one is other:
                return True
            one = one.parent
        return False

    def put_below(self, parent: Container | None) -> None:
        if self.parent is not None:
            self.parent.children.remove(self)
        self.parent = parent
        if parent is not None:
            parent.children.append(self)


def by_the_book(messages: Messages) -> str:
    """RFC 5256 3, THREAD, REFERENCES: steps 1 to 6, with no thought of time."""
    count = len(messages.sent)
    containers = [Container(number) for number in range(count)]
    table: dict[Hashable, Container] = {}
    for number in range(count):
        if messages.ids[number]:
            table.setdefault(messages.ids[number], containers[number])
    for number in range(count):
        before = None
        for one in messages.references[number]:
            node = table.setdefault(one, Container(None))
            if before and node.parent is None and not before.is_below(node):
                node.put_below(before)
            before = node
        containers[number].put_below(None)
        if before and not before.is_below(containers[number]):
            containers[number].put_below(before)

    everybody = {id(one): one for one in [*containers, *table.values()]}
    roots = [one for one in everybody.values() if one.parent is None]

    def date(one: Container) -> tuple[int, int]:
        if one.number is None:
            return min(map(date, one.children))
        return messages.sent[one.number], one.number

    def pruned(one: Container) -> list[Container]:
        one.children = [kept for child in one.children for kept in pruned(child)]
        return [one] if one.number is not None else one.children

    kept = []
    for root in roots:
        left = pruned(root)
        if root.number is None and len(left) > 1:
            kept.append(root)
        else:
            kept += left
    kept.sort(key=date)

    def first(one: Container) -> int:
        number = one.number if one.number is not None else min(one.children, key=date).number
        assert number is not None
        return number

    def is_reply(one: Container) -> bool:
        return one.number is not None and bool(messages.replies[one.number])

    subjects: dict[Hashable, Container] = {}
    for one in kept:
        subject = messages.subjects[first(one)]
        known = subjects.get(subject)
        if not subject:
            continue
        if known is None or (
            known.number is not None
            and (one.number is None or (is_reply(known) and not is_reply(one)))
        ):
            subjects[subject] = one
    final = list(kept)
    for one in kept:
        subject = messages.subjects[first(one)]
        if not subject or subjects[subject] is one:
            continue
        known = subjects[subject]
        final.remove(one)
        if one.number is None and known.number is None:
            known.children += one.children
        elif known.number is None or (is_reply(one) and not is_reply(known)):
            known.children.append(one)
        else:
            dummy = Container(None, children=[one, known])
            final[final.index(known)] = dummy
            subjects[subject] = dummy

    def shown(one: Container) -> str:
        one.children.sort(key=date)
        below = [shown(child) for child in one.children]
        own = "" if one.number is None else str(one.number + 1)
        if len(below) == 1:
            return f"{own} {below[0]}" if own else below[0]
        nested = "".join(f"({child})" for child in below)
        return f"{own} {nested}" if own and nested else own + nested

    return "".join(f"({shown(root)})" for root in sorted(final, key=date))


@st.composite
def some_messages(draw: st.DrawFn) -> Messages:
    """Few ids and subjects, so that everything meets everything."""
    count = draw(st.integers(0, 12))
    column = st.lists(st.integers(0, 4), min_size=count, max_size=count)
    ids = st.sampled_from(["", "a", "b", "c", "d", "e", "f"])
    return Messages(
        sent=draw(column),
        subjects=draw(st.lists(st.sampled_from(["", "S", "T"]), min_size=count, max_size=count)),
        replies=draw(st.lists(st.booleans(), min_size=count, max_size=count)),
        ids=draw(st.lists(ids, min_size=count, max_size=count)),
        references=draw(
            st.lists(
                st.lists(st.sampled_from("abcdefghi"), max_size=4),
                min_size=count,
                max_size=count,
            )
        ),
    )


@given(some_messages())
def test_references_by_the_book(messages: Messages) -> None:
    """The fast way gives what the RFC's steps give."""
    assert written(threads.references(messages)) == by_the_book(messages)


def numbers(text: str) -> list[int]:
    return sorted(int(word) for word in text.replace("(", " ").replace(")", " ").split())


@given(some_messages())
def test_each_message_once(messages: Messages) -> None:
    """Whatever refers to what, every message is in one thread."""
    expected = list(range(1, len(messages.sent) + 1))

    assert numbers(written(threads.references(messages))) == expected
    assert numbers(written(threads.refs(messages))) == expected
    assert numbers(written(threads.ordered_subject(messages))) == expected


# -- hostile folders -----------------------------------------------------------------------------


COUNT = 50_000
NAMES = range(1, COUNT + 1)


def _folder(
    ids: Iterable[int | str], references: Iterable[list[int]], subject: str = ""
) -> Messages:
    named = list(ids)
    count = len(named)
    return Messages([0] * count, [subject] * count, [False] * count, named, list(references))


def _deep() -> Messages:
    """Each is given a child first, and then a parent at the end of a long chain."""
    half = COUNT // 3
    deep = [[name - 1] for name in range(1, half + 1)]
    pairs = [[half + pair] for pair in range(half)]
    parents = [[half]] * half
    ids = [*range(1, half + 1), *([""] * half), *range(half, 2 * half)]
    return _folder(ids, deep + pairs + parents)


#: Folders of 50,000 messages made to take time.
HOSTILE: dict[str, Callable[[], Messages]] = {
    "chain": lambda: _folder(NAMES, ([name - 1] for name in NAMES)),
    "chain backwards": lambda: _folder(NAMES[::-1], ([name - 1] for name in NAMES[::-1])),
    "one id": lambda: _folder([1] * COUNT, [[1]] * COUNT),
    "copies": lambda: _folder([name % 50 for name in NAMES], [[1, 2, 3]] * COUNT),
    "own id": lambda: _folder(NAMES, ([name] for name in NAMES)),
    "circle": lambda: _folder(NAMES, ([name % COUNT + 1] for name in NAMES)),
    "deep": _deep,
    "one subject": lambda: _folder(NAMES, [[]] * COUNT, "S"),
    "dummies": lambda: _folder(NAMES, ([-name, -name - 1, -name - 2] for name in NAMES), "S"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_folders(name: str) -> None:
    """They take a second or two, no recursion, and every message is written once."""
    messages = HOSTILE[name]()

    with linear(10):
        text = written(threads.references(messages))
        threads.refs(messages)

    assert numbers(text) == list(range(1, len(messages.sent) + 1))


def test_ten_thousand_references() -> None:
    """A message with many references is a chain of dummies, and stands alone."""
    messages = Messages([0], [""], [False], ["a"], [list(range(10_000))])

    assert written(threads.references(messages)) == "(1)"
