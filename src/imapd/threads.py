"""Threads: the algorithms ORDEREDSUBJECT, REFERENCES (RFC 5256 3) and REFS, and how threads are written.

Messages are numbered from 0 in the mailbox's order. All steps take time and memory linear in messages
and references, but for one sort by date; none recurses, however deep a thread is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from imapd import order as order_
from imapd.order import SortKey

#: Links up a thread that are followed, per message, to see whether a new one would close a circle.
#: Real folders need less than one. Where a hostile one has used it up, such links are not made.
_STEPS = 50


@dataclass(frozen=True, slots=True)
class Messages:
    """What threading goes by; all columns in the mailbox's order."""

    sent: Sequence[int]
    subjects: Sequence[Hashable]  # base subjects; false: there is none
    replies: Sequence[object] = ()  # true: a reply, or forwarded
    ids: Sequence[Hashable] = ()  # message ids; false: there is none
    references: Iterable[Sequence[Hashable]] = ()  # message ids, the parent last


@dataclass(slots=True)
class Forest:
    """Threads. What is not below ``count`` stands for a message that is not there."""

    count: int
    roots: list[int] = field(default_factory=list)
    children: dict[int, list[int]] = field(default_factory=dict)


def ordered_subject(messages: Messages) -> Forest:
    """Put messages of one base subject together, the later ones below the first.

    Messages without a subject are a thread, too.
    """
    forest = Forest(len(messages.sent))
    roots, children, subjects = forest.roots, forest.children, messages.subjects
    first_of: dict[Hashable, int] = {}
    for number in _by_date(messages):
        first = first_of.setdefault(subjects[number], number)
        if first == number:
            roots.append(number)
        else:
            children.setdefault(first, []).append(number)
    return forest


def references(messages: Messages) -> Forest:
    """Put replies below what they refer to, and threads of one base subject together."""
    parents = _link(messages)
    order = _by_date(messages)
    forest = _prune(parents, order)
    return _merge(forest, messages, order, len(parents))


def refs(messages: Messages) -> Forest:
    """Put replies below what they refer to; the thread with the newest message is the last.

    THREAD=REFS, of draft-ietf-morg-inthread: as REFERENCES, but subjects say nothing.
    """
    parents = _link(messages)
    order = _by_date(messages)
    forest = _prune(parents, order)
    rank = _ranks(order)
    newest = {root: max(_ranks_below(forest, root, rank)) for root in forest.roots}
    forest.roots.sort(key=newest.__getitem__)
    return forest


def _ranks_below(forest: Forest, root: int, rank: list[int]) -> Iterator[int]:
    """Give the ranks of all messages of a thread."""
    waiting = [root]
    while waiting:
        number = waiting.pop()
        if number < forest.count:
            yield rank[number]
        waiting.extend(forest.children.get(number, ()))


def _by_date(messages: Messages) -> list[int]:
    """Give the messages by sent date, those of one second in the mailbox's order (RFC 5256 2.2)."""
    return order_.sort([SortKey("DATE")], {"DATE": messages.sent}, len(messages.sent))


def _link(messages: Messages) -> list[int]:
    """Find everybody's parent: step 1. -1 is none; numbers behind the messages are dummies."""
    count = len(messages.sent)
    nodes: dict[Hashable, int] = {}
    for number, one in enumerate(messages.ids):
        if one and one not in nodes:  # a later message with the same id has none
            nodes[one] = number
    parents = [-1] * count
    has_child = bytearray(count)
    steps = _STEPS * (count + 20)

    def closes_circle(child: int, parent: int) -> bool:
        """Tell whether ``child``, which has no parent, is above ``parent``."""
        nonlocal steps
        if child == parent:
            return True
        if not has_child[child]:
            return False
        while parent >= 0 and steps:
            steps -= 1
            parent = parents[parent]
            if parent == child:
                return True
        return parent >= 0

    for number, ids in enumerate(messages.references):
        before = -1
        for one in ids:
            node = nodes.get(one, -1)
            if node < 0:
                node = nodes[one] = len(parents)
                parents.append(-1)
                has_child.append(0)
            if before >= 0 and parents[node] < 0 and not closes_circle(node, before):
                parents[node] = before
                has_child[before] = 1
            before = node
        parents[number] = -1
        if before >= 0 and not closes_circle(number, before):
            parents[number] = before
            has_child[before] = 1
    return parents


def _prune(parents: list[int], order: list[int]) -> Forest:
    """Leave out the dummies but those at the top that have several children: steps 2 to 4.

    Siblings are by date, because they are added in that order.
    """
    forest = Forest(len(order))
    count, children = forest.count, forest.children
    tops: list[int] = []
    for number in order:
        parent = parents[number]
        if parent >= count and parents[parent] >= 0:
            parent = _past_dummies(parents, parent, count)
        if parent < 0:
            tops.append(number)
        elif parent in children:
            children[parent].append(number)
        else:
            children[parent] = [number]
            if parent >= count:
                tops.append(parent)
    for top in tops:
        if top >= count and len(children[top]) == 1:
            top = children.pop(top)[0]
        forest.roots.append(top)
    return forest


def _past_dummies(parents: list[int], dummy: int, count: int) -> int:
    """Give the nearest message above a dummy, or the uppermost dummy; remember it for its kind."""
    path = []
    above = dummy
    while above >= count and parents[above] >= 0:
        path.append(above)
        above = parents[above]
    for one in path:
        parents[one] = above
    return above


def _merge(forest: Forest, messages: Messages, order: list[int], unused: int) -> Forest:
    """Put threads of one base subject together: steps 5 and 6.

    Args:
        unused: a number that no message and no dummy has, nor any above it.
    """
    count, children = forest.count, forest.children
    subjects, replies = messages.subjects, messages.replies
    threads = [
        (root, subjects[root] if root < count else subjects[children[root][0]])
        for root in forest.roots
    ]
    table: dict[Hashable, int] = {}
    for root, subject in threads:
        if not subject:
            continue
        known = table.setdefault(subject, root)
        if known < count and (root >= count or (replies[known] and not replies[root])):
            table[subject] = root
    if len(table) == len(threads):
        return forest

    merged: dict[int, None] = {}  # what got more children; in a dict for its order
    gone: set[int] = set()
    added: list[int] = []
    for root, subject in threads:
        known = table[subject] if subject else root
        if known == root:
            continue
        gone.add(root)
        if root >= count:
            children[known] += children.pop(root)
        elif known >= count or (replies[root] and not replies[known]):
            children.setdefault(known, []).append(root)
        else:
            gone.add(known)
            children[unused] = [root, known]
            table[subject] = known = unused
            added.append(unused)
            unused += 1
        merged[known] = None
    if not merged:
        return forest

    rank = _ranks(order)
    for parent in merged:
        children[parent].sort(key=rank.__getitem__)
    forest.roots = [root for root in forest.roots if root not in gone] + added
    forest.roots.sort(key=lambda root: rank[root if root < count else children[root][0]])
    return forest


def _ranks(order: list[int]) -> list[int]:
    ranks = [0] * len(order)
    for rank, number in enumerate(order):
        ranks[number] = rank
    return ranks


def template(forest: Forest) -> tuple[bytes, list[int]]:
    """Write threads as in a THREAD response, with ``%d`` for each message (RFC 5256 4, THREAD).

    Returns: and the messages in the order in which they stand there.
    """
    text: list[bytes] = []
    order: list[int] = []
    for root in forest.roots:
        if root in forest.children:
            _write(forest, root, text, order)
        else:
            text.append(b"(%d)")
            order.append(root)
    return b"".join(text), order


_CLOSE = -1


def _write(forest: Forest, root: int, text: list[bytes], order: list[int]) -> None:
    """Write one thread. A message stands beside its only child, and before several in parentheses."""
    children, count = forest.children, forest.count
    waiting = [root]
    while waiting:
        number = waiting.pop()
        if number == _CLOSE:
            text.append(b")")
            continue
        text.append(b"(")
        waiting.append(_CLOSE)
        if number < count:
            text.append(b"%d")
            order.append(number)
        below = children.get(number)
        while below is not None and len(below) == 1:
            number = below[0]
            text.append(b" %d")
            order.append(number)
            below = children.get(number)
        if below is not None:
            if text[-1] != b"(":
                text.append(b" ")
            waiting.extend(reversed(below))


def fill(template: bytes, order: Sequence[int], numbers: Sequence[int]) -> Iterator[bytes]:
    """Put the numbers of messages into a template, in pieces."""
    at = start = 0
    while at < len(order):
        stop = _end_of_piece(template, start)
        count = template.count(b"%", start, stop)
        yield template[start:stop] % tuple(map(numbers.__getitem__, order[at : at + count]))
        start, at = stop, at + count


_PIECE = 32_768  # octets of a template


def _end_of_piece(template: bytes, start: int) -> int:
    stop = template.find(b"%", start + _PIECE)
    return len(template) if stop < 0 else stop
