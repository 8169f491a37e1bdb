"""userdbpw: turn a password on standard input into what userdb stores. See userdbpw(8)."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence

from courier.auth import hmac_state, passwords, scram
from tools import typed_password


def _scram(mechanism: bytes, password: bytes) -> bytes:
    return scram.write(scram.made(mechanism, password))


_HMAC = {
    f"-hmac-{name}": functools.partial(hmac_state.secret, function)
    for name, function in hmac_state.HASHES.items()
}
_SCRAM = {f"-{name.decode().lower()}": functools.partial(_scram, name) for name in scram.HASHES}
_KINDS: Mapping[str, Callable[[bytes], bytes]] = {"-md5": passwords.md5_crypt, **_HMAC, **_SCRAM}


def main(arguments: Sequence[str]) -> int:
    if any(argument not in _KINDS for argument in arguments):
        print("userdbpw: invalid argument.", file=sys.stderr)
        return 1
    # Courier: -hmac-… wins over -md5 in any order; of two, the last counts. -scram-… is ours.
    chosen = sorted(arguments, key=lambda argument: argument != "-md5")
    kind = _KINDS[chosen[-1]] if chosen else passwords.des_crypt
    try:
        password = typed_password.read()
    except EOFError:
        return 1
    sys.stdout.buffer.write(kind(password) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
