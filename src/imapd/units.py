"""imapd's generator of systemd's: ``python3 -m imapd.units NORMAL EARLY LATE``."""

import sys

from courier.daemon import units
from courier.daemon.units import Unit
from imapd import settings

UNITS = (
    Unit("courier-imap", "imapd", 143, "IMAPDSTART"),
    Unit("courier-imap-ssl", "imapd-ssl", 993, "IMAPDSSLSTART"),
)

if __name__ == "__main__":
    sys.exit(units.main(settings.load, UNITS, sys.argv[1:]))
