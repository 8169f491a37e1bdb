"""userdb-test-cram-md5: answer a CRAM-MD5 challenge by hand. See userdb-test-cram-md5(8)."""

from __future__ import annotations

import base64
import binascii
import hmac
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    if arguments:
        print("Usage: userdb-test-cram-md5", file=sys.stderr)
        return 1
    try:
        userid = _asked("Username? ")
        password = _asked("Password? ")
        print("Send: AUTH CRAM-MD5 (or for imap, A AUTHENTICATE CRAM-MD5)")
        challenge = base64.b64decode(_asked("Paste the challenge here:\n+ ").removeprefix(b"+ "))
    except EOFError:
        return 1
    except binascii.Error:
        print("userdb-test-cram-md5: the challenge is not base64", file=sys.stderr)
        return 1
    digest = hmac.new(password, challenge, "md5").hexdigest()
    print("Send this response:")
    print(base64.b64encode(userid + b" " + digest.encode()).decode() + "\n")
    return 0


def _asked(prompt: str) -> bytes:
    print(prompt, end="", flush=True)
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError
    return line.rstrip(b"\r\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
