"""The secrets of CRAM-MD5 and its like as userdb stores them: two states of a hash function.

HMAC (RFC 2104) begins by compressing one block made of the key, for the outer and for the inner
hash. What is stored is the hash function's state after that block: enough to check a response,
not the password itself. `hashlib` can't be given such a state, so the functions that compress one
block are here: MD5 (RFC 1321), SHA-1 and SHA-256 (RFC 6234).
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_BLOCK = 64
_MASK = 0xFFFFFFFF

State = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Hash:
    """A hash function: how it begins, compresses a block, and writes its words."""

    name: str
    initial: State
    compress: Callable[[State, bytes], State]
    word_order: str

    @property
    def size(self) -> int:
        """Octets of a digest, and of a state."""
        return 4 * len(self.initial)

    def pack(self, state: State) -> bytes:
        return struct.pack(f"{self.word_order}{len(state)}I", *state)

    def unpack(self, data: bytes) -> State:
        return struct.unpack(f"{self.word_order}{len(self.initial)}I", data)

    def finish(self, state: State, data: bytes) -> bytes:
        """Return the digest of one block, which led to ``state``, and ``data``."""
        bits = 8 * (_BLOCK + len(data))
        padding = b"\x80" + b"\0" * ((_BLOCK - 9 - len(data)) % _BLOCK)
        data += padding + struct.pack(f"{self.word_order}Q", bits)
        for at in range(0, len(data), _BLOCK):
            state = self.compress(state, data[at : at + _BLOCK])
        return self.pack(state)


def secret(function: Hash, password: bytes) -> bytes:
    """Return what is stored for a password: outer and inner state in hexadecimal."""
    key = password if len(password) <= _BLOCK else hashlib.new(function.name, password).digest()
    key = key.ljust(_BLOCK, b"\0")
    states = (
        function.compress(function.initial, bytes(octet ^ pad for octet in key))
        for pad in (0x5C, 0x36)
    )
    return b"".join(function.pack(state) for state in states).hex().encode()


def fits(function: Hash, stored: bytes, challenge: bytes, digest: bytes) -> bool:
    """Whether ``digest``, in hexadecimal, is the HMAC of ``challenge`` under a stored secret."""
    size = function.size
    if not _is_hex(stored, 4 * size) or not _is_hex(digest, 2 * size):
        return False
    states = bytes.fromhex(stored.decode())
    outer, inner = function.unpack(states[:size]), function.unpack(states[size:])
    expected = function.finish(outer, function.finish(inner, challenge))
    return hmac.compare_digest(expected, bytes.fromhex(digest.decode()))


def _is_hex(text: bytes, digits: int) -> bool:
    return len(text) == digits and re.fullmatch(rb"[0-9A-Fa-f]+", text) is not None


# --- The functions that compress a block ----------------------------------------------------------

_MD5_SHIFTS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_MD5_SINES = tuple(int(abs(math.sin(i + 1)) * 2**32) & _MASK for i in range(64))
_MD5_WORDS = tuple(
    (i, (5 * i + 1) % 16, (3 * i + 5) % 16, (7 * i) % 16)[i // 16] if i >= 16 else i
    for i in range(64)
)


def _left(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & _MASK


def _right(word: int, bits: int) -> int:
    return ((word >> bits) | (word << (32 - bits))) & _MASK


def _md5(state: State, block: bytes) -> State:
    words = struct.unpack("<16I", block)
    a, b, c, d = state
    for i in range(64):
        if i < 16:
            mixed = (b & c) | (~b & d)
        elif i < 32:
            mixed = (d & b) | (~d & c)
        elif i < 48:
            mixed = b ^ c ^ d
        else:
            mixed = c ^ (b | (~d & _MASK))
        total = (a + mixed + words[_MD5_WORDS[i]] + _MD5_SINES[i]) & _MASK
        a, d, c, b = d, c, b, (b + _left(total, _MD5_SHIFTS[i // 16][i % 4])) & _MASK
    return _added(state, (a, b, c, d))


def _sha1(state: State, block: bytes) -> State:
    words = list(struct.unpack(">16I", block))
    for i in range(16, 80):
        words.append(_left(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1))
    a, b, c, d, e = state
    for i in range(80):
        if i < 20:
            mixed = ((b & c) | (~b & d)) + 0x5A827999
        elif i < 40:
            mixed = (b ^ c ^ d) + 0x6ED9EBA1
        elif i < 60:
            mixed = ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC
        else:
            mixed = (b ^ c ^ d) + 0xCA62C1D6
        a, b, c, d, e = (_left(a, 5) + mixed + e + words[i]) & _MASK, a, _left(b, 30), c, d
    return _added(state, (a, b, c, d, e))


def _primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def _cube_root_bits(prime: int) -> int:
    """The first 32 bits of the fraction of a cube root, exactly: floor(root * 2**32)."""
    low, high = 0, prime << 32
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= prime << 96 else (low, middle - 1)
    return low & _MASK


_SHA256_ROUNDS = tuple(_cube_root_bits(prime) for prime in _primes(64))
_SHA256_INITIAL = tuple(math.isqrt(prime << 64) & _MASK for prime in _primes(8))


def _sha256(state: State, block: bytes) -> State:
    words = list(struct.unpack(">16I", block))
    for i in range(16, 64):
        x, y = words[i - 15], words[i - 2]
        low = _right(x, 7) ^ _right(x, 18) ^ (x >> 3)
        high = _right(y, 17) ^ _right(y, 19) ^ (y >> 10)
        words.append((words[i - 16] + low + words[i - 7] + high) & _MASK)
    a, b, c, d, e, f, g, h = state
    for i in range(64):
        first = h + (_right(e, 6) ^ _right(e, 11) ^ _right(e, 25)) + ((e & f) ^ (~e & g))
        first += _SHA256_ROUNDS[i] + words[i]
        second = (_right(a, 2) ^ _right(a, 13) ^ _right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
        a, b, c, d, e, f, g, h = (
            (first + second) & _MASK,
            a,
            b,
            c,
            (d + first) & _MASK,
            e,
            f,
            g,
        )
    return _added(state, (a, b, c, d, e, f, g, h))


def _added(before: State, after: State) -> State:
    return tuple((x + y) & _MASK for x, y in zip(before, after, strict=True))


_MD5_INITIAL = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)

MD5 = Hash("md5", _MD5_INITIAL, _md5, "<")
SHA1 = Hash("sha1", (*_MD5_INITIAL, 0xC3D2E1F0), _sha1, ">")
SHA256 = Hash("sha256", _SHA256_INITIAL, _sha256, ">")

#: By the name that stands in fields (`hmac-md5pw`) and authtypes (`cram-md5`).
HASHES: Mapping[str, Hash] = {one.name: one for one in (MD5, SHA1, SHA256)}
