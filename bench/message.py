"""Time what a message needs when it is first seen: header, structure, ENVELOPE, BODYSTRUCTURE, size.

Run from the top of the tree: ``PYTHONPATH=src /usr/bin/python3 bench/message.py [--profile]``. Each step
runs over 200 different messages of 7 kB in turn, as in a folder: boundaries, ids, subjects and file names
are unique, senders write ten messages each.
"""

from __future__ import annotations

import base64
import cProfile
import random
import statistics
import sys
import time
from collections.abc import Callable

from courier.message import header, lines, mime, structure
from courier.message.message import Message

HEADER = b"""\
Return-Path: <newsletter-bounces@lists.example.org>
Delivered-To: anna@example.com
Received: from mx1.example.com (mx1.example.com [192.0.2.10])
\tby store.example.com with LMTP id qH3zAbCdEf
\tfor <anna@example.com>; Fri, 20 Nov 2026 10:11:14 +0100
Received: from mail.example.org (mail.example.org [198.51.100.7])
\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))
\tby mx1.example.com (Postfix) with ESMTPS id 4F2C21234
\tfor <anna@example.com>; Fri, 20 Nov 2026 10:11:13 +0100 (CET)
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org;
\ts=mail; t=1795166472; h=from:from:reply-to:subject:subject:date:date:
\tmessage-id:message-id:to:to:cc:mime-version:mime-version:
\tcontent-type:content-type:in-reply-to:in-reply-to:references:references;
\tbh=fdkeB/A0FkbVP2k4J4pNPoeWH6vqBm9+b0C3OY87Cw8=;
\tb=Lh5yXn0SQd1z9Zb3fXfYVvP4E2m5Yb0xg5r1Y8d7n1cKp9Fq3Wc0mGQ2a8b0lZkO
\tqvY5sR1uN6iJ0wT4oE8xH2pD7kC3fB9gA6yU1zX5vM0nL4jI8hG2tS6rQ7eW3bV=
Received: from [10.0.0.5] (unknown [10.0.0.5])
\tby mail.example.org (Postfix) with ESMTPSA id 9A8B7C6D;
\tFri, 20 Nov 2026 10:11:12 +0100 (CET)
Authentication-Results: mx1.example.com; dkim=pass header.d=example.org;
\tspf=pass smtp.mailfrom=lists.example.org; dmarc=pass
Date: Fri, 20 Nov 2026 10:11:12 +0100
From: =?UTF-8?Q?J=C3=B6rg_M=C3=BCller?= <joerg.mueller@example.org>
To: Anna Schmidt <anna@example.com>, "Becker, Karl" <karl.becker@example.net>
Cc: team@example.org
Subject: =?UTF-8?Q?Protokoll_der_Sitzung_vom_19=2E_November_und?=
 =?UTF-8?Q?_n=C3=A4chste_Schritte?=
Message-ID: <20261120101112.GA12345@mail.example.org>
References: <20261118090000.GA1111@mail.example.org>
 <CAKx0123456789@mail.example.com>
In-Reply-To: <CAKx0123456789@mail.example.com>
User-Agent: Mutt/2.2.9
X-Spam-Status: No, score=-2.1 required=5.0 tests=BAYES_00,DKIM_SIGNED
MIME-Version: 1.0
"""
TEXT = b"Hallo Anna, hier kommt das Protokoll der Sitzung. Bitte pr=C3=BCfen.\n"
HTML = b"<p>Hallo Anna, hier kommt das <b>Protokoll</b> der Sitzung.</p>=20\n"
QUOTED_PRINTABLE = b"Content-Transfer-Encoding: quoted-printable\n\n"
MESSAGES = 200


def alternative(boundary: bytes, lines: int) -> bytes:
    """Write the head and body of text and HTML."""
    return b"".join(
        (
            b'Content-Type: multipart/alternative; boundary="' + boundary + b'"\n\n',
            b"This is a multi-part message in MIME format.\n--" + boundary + b"\n",
            b"Content-Type: text/plain; charset=UTF-8; format=flowed\n",
            QUOTED_PRINTABLE + TEXT * lines + b"\n--" + boundary + b"\n",
            b"Content-Type: text/html; charset=UTF-8\n",
            QUOTED_PRINTABLE + HTML * lines + b"\n--" + boundary + b"--\n",
        )
    )


def header_of(number: int) -> bytes:
    """Write a header: ids are unique, every sender has written ten of the messages."""
    sender = b"joerg%d.mueller@example.org" % (number % (MESSAGES // 10))
    text = HEADER.replace(b"joerg.mueller@example.org", sender)
    text = text.replace(b"GA12345", b"GA%05d" % number).replace(b"_vom_19", b"_vom_%02d" % number)
    return text.replace(b"CAKx0123456789", b"CAKx%010d" % number)


def plain_messages() -> list[bytes]:
    """Build messages of 7 kB, each of text and HTML: three entities."""
    return [
        header_of(number) + alternative(b"----=_Part_%d_678901234.1795166472" % number, 35)
        for number in range(MESSAGES)
    ]


def attachment_messages() -> list[bytes]:
    """Build messages of 7 kB, each of text, HTML and an attachment: five entities."""
    found = []
    for number in range(MESSAGES):
        outer = b"----=_Part_%d_678901234.1795166472" % number
        attachment = base64.encodebytes(random.Random(number).randbytes(1300))
        found.append(
            b"".join(
                (
                    header_of(number),
                    b'Content-Type: multipart/mixed; boundary="'
                    + outer
                    + b'"\n\n--'
                    + outer
                    + b"\n",
                    alternative(b"alt-%010d" % number, 18) + b"\n--" + outer + b"\n",
                    b'Content-Type: application/pdf; name="protokoll-%d.pdf"\n' % number,
                    b'Content-Disposition: attachment; filename="protokoll-%d.pdf";\n' % number,
                    b" size=1300\nContent-Transfer-Encoding: base64\n\n",
                    attachment + b"\n--" + outer + b"--\n",
                )
            )
        )
    return found


def everything(data: bytes) -> tuple[bytes, bytes, int]:
    """Do what is needed of a message: header, structure, ENVELOPE, BODYSTRUCTURE, size."""
    found = Message(data)
    bodystructure = structure.body(found, utf8=False, extended=True)
    return structure.envelope(found, utf8=False), bodystructure, found.size


Step = Callable[[bytes, mime.Part], object]

STEPS: dict[str, Step] = {
    "wire size alone": lambda data, root: lines.wire_size(data),
    "header fields": lambda data, root: header.message_fields(data, 0, root.body_start),
    "all fields, one by one": lambda data, root: list(header.fields(data, 0, root.body_start)),
    "structure, with header fields and sizes": lambda data, root: mime.parse(data),
    "ENVELOPE of what is parsed": lambda data, root: structure.envelope(root, utf8=False),
    "BODYSTRUCTURE of what is parsed": lambda data, root: structure.body(root, False, True),
    "ENVELOPE alone": lambda data, root: structure.envelope(Message(data), utf8=False),
    "everything": lambda data, root: everything(data),
}


def times_us(step: Step, messages: list[bytes], rounds: int = 20) -> list[float]:
    """Return the time of each run of a step over all messages, in microseconds."""
    parsed = [(data, mime.parse(data)) for data in messages]
    clock = time.perf_counter_ns
    times = []
    for _ in range(rounds):
        for data, root in parsed:
            start = clock()
            step(data, root)
            times.append((clock() - start) / 1000)
    return times


def report(messages: list[bytes], name: str) -> None:
    size = statistics.median(map(len, messages))
    print(f"{name}, {size:.0f} octets: median and fastest tenth of a run")
    for label, step in STEPS.items():
        times = times_us(step, messages)
        fast = statistics.quantiles(times, n=10)[0]
        print(f"  {label:42} {statistics.median(times):7.1f} {fast:7.1f} us")


def main(arguments: list[str]) -> int:
    plain, attachment = plain_messages(), attachment_messages()
    if "--profile" in arguments:
        cProfile.runctx(
            "for _ in range(20):\n for data in messages: everything(data)",
            {"everything": everything, "messages": plain},
            {},
            sort="tottime",
        )
        return 0
    report(plain, "Text and HTML")
    report(attachment, "Text, HTML and attachment")
    report([lines.wire(data) for data in plain], "Text and HTML with CRLF")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
