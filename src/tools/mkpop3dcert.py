"""mkpop3dcert: mkimapdcert for pop3d. See there."""

import sys
from collections.abc import Sequence

from tools import mkimapdcert


def main(arguments: Sequence[str]) -> int:
    return mkimapdcert.main(arguments, "pop3d")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
