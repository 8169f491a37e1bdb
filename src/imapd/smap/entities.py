"""Entities: a message and its parts as SMAP numbers them.

The message is ``1``, and the empty word; the parts of ``P`` are ``P.1``, ``P.2``…; a message/rfc822 ``P`` has one
child, the message in it: ``P.0``. Courier: what belongs to a message without Mime-Version is not taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from courier.message import header
from courier.message.message import Message
from courier.message.mime import Part

_ID = re.compile(r"1(?:\.[0-9]{1,9})*")


@dataclass(frozen=True, slots=True)
class Entity:
    """A part in its place."""

    part: Part
    id: str  # "1" is told as the empty word
    parent: str | None  # its ID
    has_mime: bool  # the message that it is of has Mime-Version


def find(message: Message, id: str) -> Entity | None:
    """Give what an ID names; None if that is nothing."""
    entity = _root(message)
    if not id:
        return entity
    if not _ID.fullmatch(id):
        return None
    for number in map(int, id.split(".")[1:]):
        child = _child(message, entity, number)
        if child is None:
            return None
        entity = child
    return entity


def walk(message: Message) -> Iterator[Entity]:
    """Give all entities, parents before their children, in the message's order."""
    waiting = [_root(message)]
    while waiting:
        entity = waiting.pop()
        yield entity
        if entity.part.message is not None:
            numbers = range(1)
        else:
            numbers = range(1, len(entity.part.children) + 1)
        children = (_child(message, entity, number) for number in reversed(numbers))
        waiting.extend(child for child in children if child is not None)


def _root(message: Message) -> Entity:
    return Entity(message.root, "1", None, _has_mime(message, message.root))


def _child(message: Message, entity: Entity, number: int) -> Entity | None:
    part = entity.part
    if not entity.has_mime:
        return None
    id = f"{entity.id}.{number}"
    if part.message is not None:
        if number != 0:
            return None
        return Entity(part.message, id, entity.id, _has_mime(message, part.message))
    if not 1 <= number <= len(part.children):
        return None
    return Entity(part.children[number - 1], id, entity.id, True)


def _has_mime(message: Message, part: Part) -> bool:
    stop = min(part.body_start, part.header_start + header.MAX_HEADER)
    fields = header.fields(message.data, part.header_start, stop)
    return any(name.lower() == b"mime-version" for name, _ in fields)
