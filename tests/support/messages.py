"""Realistic messages: what programs really send, and the odd ones that have broken servers."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

_WORDS = [
    *(
        "the",
        "meeting",
        "about",
        "budget",
        "figures",
        "for",
        "spring",
        "was",
        "moved",
        "to",
        "Thursday",
    ),
    *(
        "please",
        "bring",
        "your",
        "notes",
        "and",
        "a",
        "list",
        "of",
        "open",
        "questions",
        "we",
        "should",
    ),
    *(
        "decide",
        "on",
        "shipping",
        "dates",
        "supplier",
        "contracts",
        "who",
        "will",
        "travel",
        "thanks",
    ),
]
_PEOPLE = (
    ("Anna Berg", "anna.berg@example.com"),
    ("=?utf-8?q?J=C3=B6rg_M=C3=BCller?=", "joerg@example.net"),
    ('"Smith, John"', "john.smith@example.org"),
    ("山田太郎", "taro@example.jp"),
    ("", "noreply@example.com"),
)

PLAIN = b"""\
Return-Path: <anna.berg@example.com>
Received: from mx.example.com (mx.example.com [192.0.2.7])
\tby mail.example.org with ESMTP id 4711; Fri, 13 Nov 2026 09:15:00 +0100
From: Anna Berg <anna.berg@example.com>
To: Demo User <demo@example.org>
Subject: Minutes of Thursday
Date: Fri, 13 Nov 2026 09:14:58 +0100
Message-ID: <minutes.1@example.com>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii

Hello,

these are the minutes of our meeting on Thursday.
Please send corrections by Monday.

Anna
"""

UTF8_SUBJECT = """\
From: =?utf-8?q?J=C3=B6rg_M=C3=BCller?= <joerg@example.net>
To: demo@example.org
Cc: "Smith, John" <john.smith@example.org>
Subject: =?utf-8?b?R3LDvMOfZSBhdXMgTcO8bmNoZW4g4oCTIOS8muitsA==?=
Date: Sat, 14 Nov 2026 18:00:00 +0100
Message-ID: <gruesse.2@example.net>
In-Reply-To: <minutes.1@example.com>
References: <minutes.1@example.com>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Grüße aus München, bis nächste Woche!
会議は月曜日です。
""".encode()

MULTIPART = (
    b"""\
From: "Smith, John" <john.smith@example.org>
To: demo@example.org, Anna Berg <anna.berg@example.com>
Subject: Report with attachment
Date: Sun, 15 Nov 2026 07:30:00 -0500
Message-ID: <report.3@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_outer"

This is a message in MIME format.
--=_outer
Content-Type: multipart/alternative; boundary="=_inner"

--=_inner
Content-Type: text/plain; charset=utf-8; format=flowed
Content-Transfer-Encoding: quoted-printable

The report is attached. Total: 1=E2=80=AF250 =E2=82=AC
--=_inner
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<p>The report is <b>attached</b>. Total: 1=E2=80=AF250 =E2=82=AC</p>
--=_inner--

--=_outer
Content-Type: application/pdf; name="report.pdf"
Content-Disposition: attachment; filename="report.pdf"; size=1500
Content-Transfer-Encoding: base64
Content-ID: <report@example.org>
Content-Description: the report

"""
    + base64.encodebytes(b"%PDF-1.4\n" + bytes(range(256)) * 6)
    + b"""\
--=_outer--
"""
)

NESTED = (
    b"""\
From: Anna Berg <anna.berg@example.com>
To: demo@example.org
Subject: Fwd: Report with attachment
Date: Mon, 16 Nov 2026 08:00:00 +0100
Message-ID: <forward.4@example.com>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=fwd

--fwd
Content-Type: text/plain

See below.
--fwd
Content-Type: message/rfc822
Content-Disposition: inline

"""
    + MULTIPART
    + b"""\

--fwd--
"""
)

NO_FINAL_LINE_END = b"From: a@example.com\nSubject: no line end\n\nlast line without end"
CRLF = PLAIN.replace(b"\n", b"\r\n")
HEADER_ONLY = b"From: a@example.com\nSubject: header only\n"
NO_HEADER = b"\njust a body\n"
EIGHT_BIT = b"From: a@example.com\nSubject: caf\xe9\nTo: \xfcber@example.com\n\nd\xe9j\xe0 vu\n"
NUL = b"From: a@example.com\nSubject: nul\n\nbefore\x00after\n"
NO_CLOSING_BOUNDARY = (
    b"From: a@example.com\nSubject: cut\nMIME-Version: 1.0\n"
    b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nfirst\n--b\n\nsecond"
)
MULTIPART_WITHOUT_PARTS = (
    b"From: a@example.com\nSubject: empty\nMIME-Version: 1.0\n"
    b"Content-Type: multipart/mixed; boundary=b\n\nno boundary here\n"
)
LONG_LINE = b"From: a@example.com\nSubject: long\n\n" + b"x" * 100_000 + b"\n"
MANY_HEADERS = b"".join(b"X-%d: %d\n" % (n, n) for n in range(3000)) + b"Subject: many\n\nbody\n"
FOLDED = (
    b"From: a@example.com\nSubject: a subject\n that goes on\n\tand on\n"
    b"To: one@example.com,\n two@example.com,\n group: three@example.com, four@example.com;\n\nbody\n"
)
DEEP = (
    b"".join(
        b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n)
        for n in range(15)
    )
    + b"Content-Type: text/plain\n\ninnermost\n"
    + b"".join(b"--b%d--\n" % n for n in reversed(range(15)))
)

REALISTIC = {"plain": PLAIN, "utf8-subject": UTF8_SUBJECT, "multipart": MULTIPART, "nested": NESTED}
ODD = {
    "no-final-line-end": NO_FINAL_LINE_END,
    "crlf": CRLF,
    "header-only": HEADER_ONLY,
    "no-header": NO_HEADER,
    "eight-bit": EIGHT_BIT,
    "nul": NUL,
    "no-closing-boundary": NO_CLOSING_BOUNDARY,
    "multipart-without-parts": MULTIPART_WITHOUT_PARTS,
    "long-line": LONG_LINE,
    "many-headers": MANY_HEADERS,
    "folded": FOLDED,
    "deep": DEEP,
}
CATALOGUE = {**REALISTIC, **ODD}


def generate(count: int, mean_size: int = 7000, seed: int = 2026) -> Iterator[bytes]:
    """Yield ``count`` different messages, the same ones for the same seed, of ``mean_size`` octets on average.

    Four of ten are plain, four have an alternative part, two an attachment, as in an office's mail.
    """
    chance = random.Random(seed)
    start = datetime(2020, 1, 1, 8, tzinfo=timezone(timedelta(hours=1)))
    for number in range(count):
        size = max(600, int(chance.lognormvariate(0, 0.6) * mean_size * 0.83))
        headers = _headers(chance, number, start + timedelta(minutes=37 * number))
        kind = chance.random()
        if kind < 0.4:
            yield headers + _plain(chance, size - len(headers))
        elif kind < 0.8:
            yield headers + _alternative(chance, size - len(headers), number)
        else:
            yield headers + _attachment(chance, size - len(headers), number)


def _headers(chance: random.Random, number: int, date: datetime) -> bytes:
    name, address = _PEOPLE[number % len(_PEOPLE)]
    if not name.isascii():
        name = "=?utf-8?b?" + base64.b64encode(name.encode()).decode() + "?="
    subject = " ".join(chance.choices(_WORDS, k=chance.randint(2, 8)))
    reply = f"In-Reply-To: <m{number - 1}@example.com>\n" if number % 3 else ""
    return (
        f"Return-Path: <{address}>\n"
        f"Delivered-To: demo@example.org\n"
        f"Received: from mx{number % 7}.example.com (mx{number % 7}.example.com [192.0.2.{number % 250}])\n"
        f"\tby mail.example.org (Postfix) with ESMTPS id {number:08X}\n"
        f"\tfor <demo@example.org>; {format_datetime(date)}\n"
        f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.com; s=mail; t={number};\n"
        f"\tbh={base64.b64encode(chance.randbytes(32)).decode()};\n"
        f"\tb={base64.b64encode(chance.randbytes(48)).decode()}\n"
        f"From: {name} <{address}>\n"
        f"To: Demo User <demo@example.org>\n"
        f"Subject: {'Re: ' if number % 3 else ''}{subject} {number}\n"
        f"Date: {format_datetime(date)}\n"
        f"Message-ID: <m{number}@example.com>\n"
        f"{reply}"
        "MIME-Version: 1.0\n"
        "User-Agent: Example/3.1\n"
    ).encode()


def _text(chance: random.Random, size: int) -> bytes:
    lines = []
    while size > 0:
        line = " ".join(chance.choices(_WORDS, k=12))
        lines.append(line)
        size -= len(line) + 1
    return "\n".join(lines).encode() + b"\n"


def _plain(chance: random.Random, size: int) -> bytes:
    return b"Content-Type: text/plain; charset=utf-8\n\n" + _text(chance, size)


def _alternative(chance: random.Random, size: int, number: int) -> bytes:
    boundary = b"alt-%d" % number
    text = _text(chance, size // 3)
    html = _text(chance, size // 2).replace(b"\n", b"<br>\n")
    return (
        b'Content-Type: multipart/alternative; boundary="%b"\n\n--%b\n' % (boundary, boundary)
        + b"Content-Type: text/plain; charset=utf-8\n\n%b\n--%b\n" % (text, boundary)
        + b"Content-Type: text/html; charset=utf-8\n\n<html>%b</html>\n--%b--\n" % (html, boundary)
    )


def _attachment(chance: random.Random, size: int, number: int) -> bytes:
    boundary = b"mix-%d" % number
    data = base64.encodebytes(chance.randbytes(max(300, size * 5 // 9)))
    return (
        b'Content-Type: multipart/mixed; boundary="%b"\n\n--%b\n' % (boundary, boundary)
        + b"Content-Type: text/plain; charset=utf-8\n\n%b\n--%b\n"
        % (_text(chance, size // 6), boundary)
        + b'Content-Type: image/png; name="picture%d.png"\n' % number
        + b'Content-Disposition: attachment; filename="picture%d.png"\n' % number
        + b"Content-Transfer-Encoding: base64\n\n%b--%b--\n" % (data, boundary)
    )
