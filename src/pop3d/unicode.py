"""Messages whose header fields are UTF-8, for clients that did not say they know it (RFC 6856).

Such a client gets a message in plain ASCII instead, with the original as an attachment. Headers and
structure are Courier's, the words are our own.
"""

from __future__ import annotations

import os

from courier.message import mime
from courier.message.mime import Part

_EXPLANATION = b"""\
From: Mail Delivery Subsystem <postmaster>
Subject: Cannot display Unicode content
Mime-Version: 1.0
Content-Type: multipart/mixed; boundary="%(boundary)b"



--%(boundary)b
Content-Type: text/plain

This message uses Unicode in its header, and the mail program that fetched
it has not told the server that it can read that.

A mail program with POP3 UTF-8 support (RFC 6856) shows it as it is:
https://www.rfc-editor.org/rfc/rfc6856

A sender's mail program that writes its headers wrongly can be the cause, too.

The message itself is attached, and can be saved and opened by hand.

--%(boundary)b
Content-Type: %(type)b

"""


def needs_utf8(data: bytes) -> bool:
    """Tell whether a header field of the message, or of a part of it, has octets above 127."""
    return not data.isascii() and _has_utf8_header(data, mime.parse(data))


def _has_utf8_header(data: bytes, root: Part) -> bool:
    """Look at the headers of a part and of all within it; never deeper than ``mime.MAX_DEPTH``."""
    if not data[root.header_start : root.body_start].isascii():
        return True
    inner = [*root.children, *([root.message] if root.message is not None else [])]
    return any(_has_utf8_header(data, part) for part in inner)


def wrapping(media_type: str) -> tuple[bytes, bytes]:
    """Give what stands before and behind a message that is wrapped; another boundary each time."""
    boundary = b"=_" + os.urandom(18).hex().encode()
    values = {b"boundary": boundary, b"type": media_type.encode()}
    return _EXPLANATION % values, b"\n--" + boundary + b"--\n"
