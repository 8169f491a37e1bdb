"""The mail that the folders hold: an office's, 7 kB a message on average, the same in every run.

Every message has its own Message-ID, subject and date; four of ten belong to threads, whose replies name
up to ten messages before them; a few people write most of the mail. A tenth of the subjects
and a third of the names are encoded words. Words that the benchmark searches for stand in known
shares of the messages: `SUBJECT_WORD` in the subject, `BODY_WORD` in a text, `SENDER` in From.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

MEAN_SIZE = 7000
SUBJECT_WORD = "shipping"
BODY_WORD = "zanzibar"  # in one message of a hundred
SENDER = "mueller"

_START = datetime(2020, 1, 1, 8, tzinfo=timezone(timedelta(hours=1)))
_LATEST = 400  # a reply is to one of so many messages before it
_MOST_REFERENCES = 10
_SUBJECT_WORDS = (
    "budget minutes report draft contract supplier delivery holiday meeting agenda invoice offer travel "
    "question answer figures spring autumn project release schedule training office server backup "
    "insurance catalogue customer complaint printer shipping order review"
)
_TEXT_WORDS = (
    "the meeting about budget figures for spring was moved to Thursday please bring your notes and a "
    "list of open questions we should decide on dates supplier contracts who will travel thanks in "
    "advance as discussed yesterday I have attached latest version with all changes marked in red let "
    "me know if anything is missing or unclear best regards from here"
)
_FIRST_NAMES = (
    "Anna Jörg John Maria Pierre Taro Olga Luca Ingrid Tomás Wei Fatima Karl Zoë Piotr Åsa"
)
_LAST_NAMES = (
    "Berg Mueller Smith Rossi Dupont Yamada Ivanova Bianchi Larsen García Chen Haddad Becker Jansen "
    "Nowak Öberg Weber Kowalski Martin Silva Novák Horváth Jensen Costa Ricci"
)
_DOMAINS = ("example.org", "example.com", "example.net", "mail.example.org", "lists.example.com")


@dataclass(frozen=True)
class Mail:
    """A message as it lies in a file, and when it arrived, in seconds since 1970."""

    data: bytes
    arrived: int


@dataclass(frozen=True)
class _Thread:
    """What a reply needs of the message that it answers."""

    message_id: str
    references: tuple[str, ...]
    subject: str


def generate(count: int, seed: int = 2026) -> Iterator[Mail]:
    """Yield ``count`` messages, no two alike, the same ones for the same seed."""
    chance = random.Random(seed)
    people = _people(chance)
    words = " ".join(chance.choices(_TEXT_WORDS.split(), k=30_000))
    recent: list[_Thread] = []
    for number in range(count):
        sent = _START + timedelta(minutes=37 * number + chance.randint(-600, 600))
        parent = chance.choice(recent) if recent and chance.random() < 0.4 else None
        thread = _answer(number, parent) if parent else _topic(chance, number)
        recent.append(thread)
        del recent[:-_LATEST]
        size = int(chance.lognormvariate(0, 0.6) * MEAN_SIZE * 0.83)
        head = _head(chance, number, people, thread, sent)
        yield Mail(
            head + _body(chance, number, words, max(300, size - len(head))),
            int(sent.timestamp()) + chance.randint(1, 90),
        )


def _people(chance: random.Random) -> list[str]:
    """Addresses as From has them; the first ones write the most."""
    people = []
    for first in _FIRST_NAMES.split():
        for last in _LAST_NAMES.split():
            local = f"{first}.{last}".lower().encode("ascii", "replace").decode().replace("?", "e")
            people.append(f"{_phrase(f'{first} {last}')} <{local}@{chance.choice(_DOMAINS)}>")
    chance.shuffle(people)
    return people


def _phrase(text: str) -> str:
    return text if text.isascii() else f"=?utf-8?b?{base64.b64encode(text.encode()).decode()}?="


def _topic(chance: random.Random, number: int) -> _Thread:
    text = " ".join(chance.sample(_SUBJECT_WORDS.split(), chance.randint(2, 5)))
    text = f"{text} {number}".capitalize()
    if number % 10 == 3:
        text = _phrase(f"Grüße: {text}")
    return _Thread(_message_id(number), (), text)


def _answer(number: int, parent: _Thread) -> _Thread:
    subject = parent.subject if parent.subject.startswith("Re: ") else f"Re: {parent.subject}"
    references = (*parent.references, parent.message_id)[-_MOST_REFERENCES:]
    return _Thread(_message_id(number), references, subject)


def _message_id(number: int) -> str:
    return f"<{number:08x}.{number * 2654435761 % 2**32:08x}@{_DOMAINS[number % 3]}>"


def _head(
    chance: random.Random, number: int, people: list[str], thread: _Thread, sent: datetime
) -> bytes:
    sender = people[min(int(chance.paretovariate(0.7)) - 1, len(people) - 1)]
    receivers = ", ".join(chance.choices(people, k=chance.choice((1, 1, 1, 2, 4))))
    lines = [
        f"Return-Path: {sender[sender.index('<') :]}",
        "Delivered-To: demo@example.org",
        *_received(number, sent),
        f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.com; s=mail; t={number};",
        f"\tbh={base64.b64encode(chance.randbytes(32)).decode()};",
        f"\tb={base64.b64encode(chance.randbytes(96)).decode()}",
        f"From: {sender}",
        f"To: Demo User <demo@example.org>, {receivers}",
    ]
    if number % 4 == 1:
        lines.append(f"Cc: {chance.choice(people)}")
    lines += [
        f"Subject: {thread.subject}",
        f"Date: {format_datetime(sent)}",
        f"Message-ID: {thread.message_id}",
    ]
    if thread.references:
        lines += ["References: " + "\n ".join(thread.references)]
        lines += [f"In-Reply-To: {thread.references[-1]}"]
    lines += ["User-Agent: Example/3.1", "X-Spam-Status: No, score=-2.1 required=5.0"]
    return "\n".join([*lines, "MIME-Version: 1.0", ""]).encode()


def _received(number: int, sent: datetime) -> list[str]:
    return [
        f"Received: from mx{number % 7}.example.com (mx{number % 7}.example.com [192.0.2.{number % 250}])",
        f"\tby mail.example.org (Postfix) with ESMTPS id {number:08X}",
        f"\tfor <demo@example.org>; {format_datetime(sent)}",
        f"Received: from [198.51.100.{number % 250}] (unknown [198.51.100.{number % 250}])",
        f"\tby mx{number % 7}.example.com (Postfix) with ESMTPSA id {number * 7:08X};",
        f"\t{format_datetime(sent)}",
    ]


def _body(chance: random.Random, number: int, words: str, size: int) -> bytes:
    """The rest of a message, from Content-Type on: a text, or text and HTML, or with a file too."""
    kind = number % 10
    if number % 100 == 42:
        words = f"{BODY_WORD} {words}"
    if kind < 3:
        return _text_part(_text(chance, words, size))
    if kind < 8:
        return _alternative(chance, number, words, size)
    boundary = f"----=_Mixed_{number:x}"
    data = base64.encodebytes(chance.randbytes(size // 2)).decode()
    file = (
        f'Content-Type: application/pdf; name="report-{number}.pdf"\n'
        f'Content-Disposition: attachment; filename="report-{number}.pdf"\n'
        f"Content-Transfer-Encoding: base64\n\n{data}"
    )
    inner = _alternative(chance, number, words, size // 4).decode()
    return _multipart("mixed", boundary, [inner, file])


def _alternative(chance: random.Random, number: int, words: str, size: int) -> bytes:
    plain = _text(chance, words, size // 3)
    html = "<html><body><p>" + plain.replace("\n", "<br>=20\n") + "</p></body></html>\n"
    filler = _text(chance, words, max(0, size - 2 * len(plain)))
    parts = [
        _text_part(plain).decode(),
        f"Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n{html}"
        f"<!-- {filler} -->\n",
    ]
    return _multipart("alternative", f"----=_Part_{number:x}", parts)


def _multipart(kind: str, boundary: str, parts: list[str]) -> bytes:
    inside = "".join(f"--{boundary}\n{part}\n" for part in parts)
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n'
    return f"{head}This is a message in MIME format.\n{inside}--{boundary}--\n".encode()


def _text_part(text: str) -> bytes:
    head = "Content-Type: text/plain; charset=utf-8; format=flowed\nContent-Transfer-Encoding: 8bit\n\n"
    return (head + text).encode()


def _text(chance: random.Random, words: str, size: int) -> str:
    """Lines of about 70 characters: a piece of a long text, after its first word."""
    start = chance.randrange(max(1, len(words) - size))
    piece = words[: words.index(" ") + 1] + words[start : start + size]
    return "".join(piece[at : at + 70] + "\n" for at in range(0, len(piece), 70))
