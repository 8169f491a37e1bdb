"""Identifiers of messages and of threads, found in what a message says (RFC 8474 5).

They are the same wherever the message is, whoever copied it, and whatever is lost beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b, sha256

#: Characters of a message's digest.
DIGEST = 40
#: What of `facts.PIECES` tells a thread from another.
THREAD_PIECES = ("ids", "base_subject", "from_key", "to_key")


def digest(data: bytes) -> bytes:
    """Give the digest of a message file."""
    return sha256(data).hexdigest()[:DIGEST].encode("ascii")


def email_id(content: bytes, internal_date: int) -> bytes:
    """Give EMAILID: of one content, and of one internal date, which may no more change than that."""
    return b"M%b%x" % (content, internal_date)


def read_email_id(text: bytes) -> tuple[bytes, int] | None:
    """Give what an EMAILID is made of; None if no message can have it."""
    content, date = text[1 : DIGEST + 1], text[DIGEST + 1 :]
    try:
        found = content, int(date, 16)
    except ValueError:
        return None
    return found if email_id(*found) == text else None


def thread_ids(pieces: Sequence[Iterable[bytes]]) -> list[bytes]:
    """Give THREADIDs.

    The oldest message that a message refers to begins its thread, or else it does itself. One that
    has no Message-ID and refers to none is in a thread with those of its subject and people.

    Args:
        pieces: a column for each of `THREAD_PIECES`.
    """
    return [_thread_id(*of_one) for of_one in zip(*pieces, strict=True)]


def _thread_id(ids: bytes, *others: bytes) -> bytes:
    own, _, references = ids.partition(b"\n")
    begun_by = references.partition(b"\n")[0] or own
    seed = begun_by or b"\0".join(others)
    return b"T" + blake2b(seed, digest_size=12).hexdigest().encode("ascii")
