"""authinfo: say which of authdaemond's modules can be used on this machine. See authinfo(1)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from authdaemond import backends
from authdaemond.backends import NotInstalled

_USAGE = "Usage: authinfo\n"


def main(arguments: Sequence[str]) -> int:
    if arguments:
        sys.stderr.write(_USAGE)
        return 1
    usable = []
    for name in backends.KNOWN:
        try:
            backends.load(name)
        except NotInstalled as reason:
            print(f"# {reason}")
        else:
            usable.append(name)
    print(f'AUTHENTICATION_MODULES="{" ".join(usable)}"')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
