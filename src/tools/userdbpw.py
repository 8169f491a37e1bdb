"""userdbpw: turn a password on standard input into what userdb stores. See userdbpw(8)."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Mapping, Sequence

from courier.auth import hmac_state, passwords, scram
from tools import typed_password

_HMAC = {
    f"-hmac-{name}": functools.partial(hmac_state.secret, function)
    for name, function in hmac_state.HASHES.items()
}
_ITERATIONS = re.compile(r"-iterations=([0-9]{1,8})")


def main(arguments: Sequence[str]) -> int:
    counts = [int(found[1]) for one in arguments if (found := _ITERATIONS.fullmatch(one))]
    iterations = counts[-1] if counts else scram.ITERATIONS
    kinds = _kinds(iterations)
    arguments = [one for one in arguments if not _ITERATIONS.fullmatch(one)]
    is_possible = scram.ITERATIONS <= iterations <= scram.MOST_ITERATIONS
    if not is_possible or any(argument not in kinds for argument in arguments):
        print("userdbpw: invalid argument.", file=sys.stderr)
        return 1
    # Courier: -hmac-… wins over -md5 in any order; of two, the last counts. -scram-… is ours.
    chosen = sorted(arguments, key=lambda argument: argument != "-md5")
    kind = kinds[chosen[-1]] if chosen else passwords.des_crypt
    try:
        password = typed_password.read()
    except EOFError:
        return 1
    sys.stdout.buffer.write(kind(password) + b"\n")
    return 0


def _kinds(iterations: int) -> Mapping[str, Callable[[bytes], bytes]]:
    def secret(mechanism: bytes, password: bytes) -> bytes:
        return scram.write(scram.made(mechanism, password, iterations))

    of_scram = {
        f"-{name.decode().lower()}": functools.partial(secret, name) for name in scram.HASHES
    }
    return {"-md5": passwords.md5_crypt, **_HMAC, **of_scram}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
