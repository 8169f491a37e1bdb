"""Time what a message needs when it is first seen: header, structure, ENVELOPE, BODYSTRUCTURE, size.

Run from the top of the tree: ``PYTHONPATH=src /usr/bin/python3 bench/message.py [--profile]``. Prints the
median of many runs of each step for a realistic multipart message of 7 kB, with LF and with CRLF.
"""

from __future__ import annotations

import base64
import cProfile
import random
import statistics
import sys
import time
from collections.abc import Callable

from courier.message import header, lines, mime
from courier.message.message import Message
from imapd import structure

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
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="----=_Part_12345_678901234.1795166472"
User-Agent: Mutt/2.2.9
X-Spam-Status: No, score=-2.1 required=5.0 tests=BAYES_00,DKIM_SIGNED
Content-Language: de

"""
TEXT = b"Hallo Anna, hier kommt das Protokoll der Sitzung. Bitte pr=C3=BCfen.\n" * 19
HTML = b"<p>Hallo Anna, hier kommt das <b>Protokoll</b> der Sitzung.</p>=20\n" * 20
OUTER = b"----=_Part_12345_678901234.1795166472"
INNER = b"alt-0987654321"


def message() -> bytes:
    """Build a message of 7 kB: alternative text and HTML, and an attachment."""
    attachment = base64.encodebytes(random.Random(1).randbytes(1300))
    quoted_printable = b"Content-Transfer-Encoding: quoted-printable\n\n"
    return b"".join(
        (
            HEADER,
            b"This is a multi-part message in MIME format.\n--" + OUTER + b"\n",
            b'Content-Type: multipart/alternative; boundary="' + INNER + b'"\n\n--' + INNER + b"\n",
            b"Content-Type: text/plain; charset=UTF-8; format=flowed\n" + quoted_printable + TEXT,
            b"\n--" + INNER + b"\n",
            b"Content-Type: text/html; charset=UTF-8\n" + quoted_printable + HTML,
            b"\n--" + INNER + b"--\n\n--" + OUTER + b"\n",
            b'Content-Type: application/pdf; name="protokoll.pdf"\n'
            b'Content-Disposition: attachment; filename="protokoll.pdf"; size=1300\n'
            b"Content-Transfer-Encoding: base64\n\n" + attachment + b"\n--" + OUTER + b"--\n",
        )
    )


def everything(data: bytes) -> tuple[bytes, bytes, bytes, int]:
    """Do all that the index keeps of a message."""
    found = Message(data)
    bodystructure = structure.body(found, utf8=False, extended=True)
    body = structure.body(found, utf8=False, extended=False)
    return structure.envelope(found, utf8=False), body, bodystructure, found.size


def everything_needed(data: bytes) -> tuple[bytes, bytes, int]:
    """Do what a client's first look needs: header, structure, ENVELOPE, BODYSTRUCTURE, size."""
    found = Message(data)
    bodystructure = structure.body(found, utf8=False, extended=True)
    return structure.envelope(found, utf8=False), bodystructure, found.size


def median_us(step: Callable[[], object], runs: int = 3000) -> float:
    """Return the median time of a step in microseconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        step()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000


def report(data: bytes, name: str) -> None:
    body_start = header.find_body(data, 0, len(data))
    parsed = Message(data)
    root = parsed.root
    steps: dict[str, Callable[[], object]] = {
        "wire size alone": lambda: lines.wire_size(data),
        "header fields": lambda: header.message_fields(data, 0, body_start),
        "structure (with header and sizes)": lambda: mime.parse(data),
        "ENVELOPE text": lambda: structure.envelope(root, utf8=False),
        "BODYSTRUCTURE text": lambda: structure.body(root, utf8=False, extended=True),
        "BODY text": lambda: structure.body(root, utf8=False, extended=False),
        "all of header, structure, ENVELOPE, BODYSTRUCTURE, size": lambda: everything_needed(data),
        "the same and BODY": lambda: everything(data),
        "ENVELOPE of an unparsed message": lambda: structure.envelope(Message(data), utf8=False),
        "all fields, one by one": lambda: list(header.fields(data, 0, body_start)),
    }
    print(f"{name}: {len(data)} octets, {parsed.size} on the wire")
    for label, step in steps.items():
        print(f"  {label:58} {median_us(step):7.1f} us")


def main(arguments: list[str]) -> int:
    data = message()
    if "--profile" in arguments:
        cProfile.runctx(
            "for _ in range(5000): everything_needed(data)",
            {"everything_needed": everything_needed, "data": data},
            {},
            sort="tottime",
        )
        return 0
    report(data, "LF")
    report(lines.wire(data), "CRLF")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
