"""COMPRESS=DEFLATE (RFC 4978): a connection whose octets are deflated in both directions."""

from __future__ import annotations

import contextlib
import os
import random
import tracemalloc
import zlib
from pathlib import Path

import pytest

from courier.process.request import Unfinished, Wake
from imapd.compression import MAX_INFLATED, Compression, Damaged
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.responses import Response, read
from tests.support.maildirs import deliver

pytestmark = pytest.mark.usefixtures("logged")


class Compressed:
    """The client's end of a connection that has been compressed."""

    def __init__(self, driven: Driven) -> None:
        self.driven = driven
        assert driven.ask("c COMPRESS DEFLATE")[-1].name == "OK"
        self._deflating = zlib.compressobj(wbits=-15)
        self._inflating = zlib.decompressobj(wbits=-15)

    def deflated(self, text: bytes) -> bytes:
        return self._deflating.compress(text) + self._deflating.flush(zlib.Z_SYNC_FLUSH)

    def send(self, *texts: bytes | Wake) -> bytes:
        pieces = [text if isinstance(text, Wake) else self.deflated(text) for text in texts]
        return self.inflated(self.driven.send(*pieces))

    def inflated(self, data: bytes) -> bytes:
        return self._inflating.decompress(data)

    def ask(self, line: str) -> list[Response]:
        return read(self.send(line.encode() + b"\r\n"))


@pytest.fixture
def filled(maildir: Path) -> Path:
    for number in range(300):
        deliver(maildir, b"Subject: number %d\n\n" % number + b"text\n" * 500, number=number)
    return maildir


@pytest.fixture
def compressed(filled: Path, driven: Driven) -> Compressed:
    return Compressed(driven)


# -- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("DEFLATE", "OK"),
        ("deflate", "OK"),
        ("GZIP", "BAD"),
        ("", "BAD"),
        ("DEFLATE 9", "BAD"),
        ('"DEFLATE"', "BAD"),
    ],
)
def test_arguments(driven: Driven, arguments: str, status: str) -> None:
    (completion,) = driven.ask(f"a COMPRESS {arguments}")

    assert completion.name == status
    if status != "OK":  # RFC 4978 3: then nothing is compressed
        assert driven.send(b"b NOOP\r\n") == b"b OK NOOP completed\r\n"


def test_twice(compressed: Compressed) -> None:
    """RFC 4978 3: BAD while it is active; the one layer stays."""
    (completion,) = compressed.ask("a COMPRESS DEFLATE")

    assert (completion.name, completion.code) == ("BAD", "COMPRESSIONACTIVE")
    assert compressed.ask("b NOOP")[-1].name == "OK"


def test_switched_off(drive: Drive) -> None:
    driven = drive(IMAP_COMPRESS="0")

    assert b"COMPRESS" not in driven.send(b"a CAPABILITY\r\n")
    assert driven.ask("b COMPRESS DEFLATE")[-1].name == "NO"
    assert driven.ask("c NOOP")[-1].line == "c OK NOOP completed"


def test_announced(driven: Driven) -> None:
    assert b" COMPRESS=DEFLATE" in driven.send(b"a CAPABILITY\r\n")


# -- what a client sees --------------------------------------------------------------------------


def test_conversation(compressed: Compressed) -> None:
    """Each answer is whole when the session waits for the next command."""
    assert compressed.ask("a SELECT INBOX")[-1].name == "OK"
    fetched = compressed.ask("b UID FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[])")
    assert [one.number for one in fetched[:-1]] == list(range(1, 301))
    assert compressed.ask("c STORE 1 +FLAGS (\\Seen)")[-1].name == "OK"
    assert compressed.ask("d FETCH 1 FLAGS")[-1].name == "OK"


def test_saves_octets(compressed: Compressed) -> None:
    compressed.send(b"a SELECT INBOX\r\n")
    before = len(compressed.driven.output)

    plain = compressed.send(b"b FETCH 1:* (ENVELOPE BODY.PEEK[])\r\n")

    assert (len(compressed.driven.output) - before) * 10 < len(plain)


def test_pipelined_and_in_pieces(compressed: Compressed) -> None:
    """Commands are found however their octets come."""
    commands = b"".join(b"%d NOOP\r\n" % number for number in range(500))
    data = compressed.deflated(commands)

    answer = compressed.inflated(compressed.driven.send(*(data[at : at + 1] for at in range(40))))
    answer += compressed.inflated(compressed.driven.send(data[40:]))

    assert [int(response.tag) for response in read(answer)] == list(range(500))


def test_literals(compressed: Compressed) -> None:
    """Synchronising and not, as arguments and streamed."""
    assert compressed.send(b"a SELECT {5}\r\n") == b"+ OK\r\n"
    assert compressed.send(b"INBOX\r\n").endswith(b"a OK [READ-WRITE] Ok\r\n")
    assert compressed.send(b"b APPEND INBOX {600000}\r\n") == b"+ OK\r\n"
    assert b"b OK [APPENDUID" in compressed.send(b"A: b\r\n\r\n" + b"x" * 599_992, b"\r\n")
    text = b"A: b\r\n\r\n" + b"y" * 500_000
    assert b"c OK [APPENDUID" in compressed.send(
        b"c APPEND INBOX {%d+}\r\n%b\r\n" % (len(text), text)
    )
    assert compressed.ask("d FETCH 301:302 RFC822.SIZE")[1].values == (
        (b"RFC822.SIZE", len(text) + 2),
    )


def test_idle(maildir: Path, compressed: Compressed) -> None:
    """A change reaches a client that sends nothing, several times."""
    compressed.send(b"a SELECT INBOX\r\n")
    assert compressed.send(b"b IDLE\r\n").startswith(b"+ ")

    for number in range(300, 303):
        deliver(maildir, b"Subject: new\n\n", number=number)
        assert b"* %d EXISTS\r\n" % (number + 1) in compressed.send(Wake.CHANGED)

    assert compressed.send(b"DONE\r\n") == b"b OK IDLE completed\r\n"
    assert compressed.ask("c NOOP")[-1].name == "OK"


def test_what_came_before_the_completion_is_deflated_already(driven: Driven) -> None:
    """A client that can't wait has begun behind the command's end (RFC 4978 3: it must not)."""
    deflating = zlib.compressobj(wbits=-15)
    first = deflating.compress(b"b NOOP\r\n") + deflating.flush(zlib.Z_SYNC_FLUSH)

    answer = driven.send(b"a COMPRESS DEFLATE\r\n" + first)

    completion, _, rest = answer.partition(b"\r\n")
    assert completion == b"a OK DEFLATE active."
    assert zlib.decompressobj(wbits=-15).decompress(rest) == b"b OK NOOP completed\r\n"


def test_farewells(filled: Path, drive: Drive) -> None:
    """What is said last arrives: BYE of LOGOUT, of the server's stop, of a time-out."""
    one, two, three = (Compressed(drive()) for _ in range(3))

    assert one.send(b"a LOGOUT\r\n").endswith(b"a OK LOGOUT completed\r\n")
    assert two.inflated(two.driven.stop()).startswith(b"* BYE Courier-IMAP server shut down")
    assert three.send(Wake.TIMEOUT) == b"* BYE Disconnected for inactivity.\r\n"
    assert one.driven.ended and two.driven.ended and three.driven.ended


def test_pieces_of_a_response() -> None:
    """They stay marked as such, so that no BYE comes between them."""
    compression = Compression()
    assert [isinstance(piece, Unfinished) for piece in compression.deflate(os.urandom(40_000))] == [
        True,
        True,
        False,
    ]
    assert all(
        isinstance(piece, Unfinished) for piece in compression.deflate(Unfinished(b"x" * 40_000))
    )


# -- the other end misbehaves --------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x07", b"a NOOP\r\n", b"\x00\x01\x00\x00\x00"])
def test_damaged(driven: Driven, data: bytes) -> None:
    """No deflated data: the client is told, in deflated words, and the session ends."""
    compressed = Compressed(driven)

    answer = compressed.inflated(driven.send(data))

    assert answer == b"* BYE [ALERT] Compressed data is damaged.\r\n"
    assert driven.ended


def test_client_ends_its_stream(compressed: Compressed) -> None:
    """A final block says that no more comes: what came before it is answered."""
    deflating = zlib.compressobj(wbits=-15)
    data = deflating.compress(b"a NOOP\r\n") + deflating.flush()

    answer = compressed.inflated(compressed.driven.send(data, b"behind the end"))

    assert answer == b"a OK NOOP completed\r\n"
    assert compressed.driven.ended


@pytest.mark.parametrize(
    ("piece", "size"), [(b"x", 20_000_000), (b"a SELECT " + b"x" * 4000 + b"\r\n", 1_600_000)]
)
def test_bomb(driven: Driven, piece: bytes, size: int) -> None:
    """Kilobytes that inflate to megabytes: memory is bounded, and others get their turns."""
    Compressed(driven)
    deflating = zlib.compressobj(9, wbits=-15)
    data = deflating.compress(piece * (size // len(piece)))
    data += deflating.flush(zlib.Z_SYNC_FLUSH)
    turns = []
    fed: list[int] = []

    def after(step: object) -> None:
        if step == b"":
            turns.append(step)
        fed.append(len(driven.session.connection.reader.unread()))
        driven.written.clear()
        if isinstance(step, bytes):
            driven.output = b""

    driven.after = after
    tracemalloc.start()
    try:
        driven.send(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(turns) >= size // MAX_INFLATED - 1
    assert max(fed) <= 131_072 + MAX_INFLATED
    assert peak < 8_000_000


# -- the codec -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 65_536, 65_537, 200_000])
def test_round_trip(size: int) -> None:
    """What one end deflates the other inflates, in pieces of a bounded size."""
    here, there = Compression(), Compression()
    text = os.urandom(size // 2) + b"x" * (size - size // 2)

    data = b"".join(here.deflate(text)) + here.flush()
    pieces = [there.inflate(data)]
    while there.is_waiting:
        pieces.append(there.inflate())

    assert b"".join(pieces) == text
    assert max(map(len, pieces)) <= MAX_INFLATED
    assert here.flush() == b""


def test_forgetting() -> None:
    """Freed memory is the server's own business."""
    here, there = Compression(), Compression()

    for number in range(20):
        text = b"* %d EXISTS\r\n" % number
        data = b"".join(here.deflate(text)) + here.flush(forget=number % 3 == 0)
        assert there.inflate(data) == text


def test_damaged_data() -> None:
    with pytest.raises(Damaged):
        Compression().inflate(b"\xff" * 10)


@pytest.mark.parametrize("seed", range(50))
def test_damaged_anywhere(seed: int) -> None:
    """A stream that is changed, cut or made up is damaged or means something else, and nothing worse."""
    chance = random.Random(seed)
    deflating = zlib.compressobj(chance.randrange(10), wbits=-15)
    data = bytearray(deflating.compress(b"a NOOP\r\nb FETCH 1:* BODY[]\r\n" * 500))
    data += deflating.flush(chance.choice([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH]))
    for _ in range(chance.randint(1, 5)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    data = data[: chance.randint(1, len(data))]
    there = Compression()

    with contextlib.suppress(Damaged):
        for at in range(0, len(data), 7):
            assert len(there.inflate(bytes(data[at : at + 7]))) <= MAX_INFLATED
            while there.is_waiting:
                assert len(there.inflate()) <= MAX_INFLATED
            if there.at_end:
                break
