"""mkdhparams: put Diffie-Hellman parameters in place, for clients without elliptic curves.

DESCRIPTION
    ``mkdhparams`` writes the file that TLS_DHPARAMS in the environment names, else dhparams.pem in
    the settings' directory, unless it is there and younger than 26 days. DH_BITS is the size, or
    certtool's word for it: medium 2048 (the default), high 3072, ultra 8192.

    The parameters are those of RFC 7919, which everybody may check, where Courier searches for
    new ones during minutes. A monthly run does no harm and changes nothing.

SECURITY
    Runs as whoever may write the directory, usually root. A file that is replaced keeps its owner
    and mode; a new one belongs to the user courier, if there is one, with mode 0600.

STANDARDS
    RFC 7919 (the groups), RFC 3526 (their construction), PKCS #3 (the file).

FILES
    /etc/courier/dhparams.pem
"""

from __future__ import annotations

import base64
import os
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from courier import paths
from tools import new_file

KEPT_DAYS = 25
_INTEGER, _SEQUENCE = 0x02, 0x30

# RFC 7919 appendix A: a group's size, and the number that makes its prime the first of the kind.
_GROUPS: Mapping[int, int] = {
    2048: 560316,
    3072: 2625351,
    4096: 5736041,
    6144: 15705020,
    8192: 10965728,
}
_WORDS: Mapping[str, int] = {"": 2048, "medium": 2048, "high": 3072, "ultra": 8192}


def main(arguments: Sequence[str]) -> int:
    if arguments:
        sys.stderr.write("Usage: mkdhparams, with TLS_DHPARAMS and DH_BITS in the environment\n")
        return 1
    target = Path(os.environ.get("TLS_DHPARAMS") or paths.SYSCONFDIR / "dhparams.pem")
    text = os.environ.get("DH_BITS", "")
    bits = _WORDS.get(text) or (int(text) if text.isdecimal() else 0)
    if bits not in _GROUPS:
        known = ", ".join(map(str, _GROUPS))
        sys.stderr.write(f"mkdhparams: DH_BITS: expected {known}, found {text!r}\n")
        return 1
    if is_young(target, time.time()):
        return 0
    try:
        new_file.replace(target, parameters(bits))
    except OSError as error:
        sys.stderr.write(f"mkdhparams: {error.filename or target}: {error.strerror}\n")
        return 1
    return 0


def is_young(target: Path, now: float) -> bool:
    """Courier: `find -mtime +25`, which counts whole days."""
    return target.is_file() and (now - target.stat().st_mtime) // 86400 <= KEPT_DAYS


def parameters(bits: int) -> bytes:
    """Return a group's parameters in PEM."""
    # By hand: OpenSSL, and so python3-cryptography, would write a known group in X9.42's form,
    # which the GnuTLS of Debian's Courier does not read.
    der = _der(_SEQUENCE, _der(_INTEGER, _signed(prime(bits))) + _der(_INTEGER, _signed(2)))
    text = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN DH PARAMETERS-----\n{text}\n-----END DH PARAMETERS-----\n".encode()


def _der(tag: int, value: bytes) -> bytes:
    """Encode a value of ASN.1 (X.690 8.1)."""
    size = len(value)
    if size < 128:
        return bytes((tag, size)) + value
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 128 | len(octets))) + octets + value


def _signed(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def prime(bits: int) -> int:
    """RFC 7919 appendix A: p = 2^b - 2^{b-64} + {[2^{b-130} e] + X } * 2^64 - 1."""
    return (1 << bits) - (1 << (bits - 64)) + ((_e(bits - 130) + _GROUPS[bits]) << 64) - 1


def _e(bits: int) -> int:
    """Return 2^bits times e, rounded down: e is the sum of 1/n!."""
    spare = 64
    term = total = 1 << (bits + spare)
    n = 1
    while term:
        term //= n
        total += term
        n += 1
    return total >> spare


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
