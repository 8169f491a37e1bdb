"""pop3d's generator of systemd's: ``python3 -m pop3d.units NORMAL EARLY LATE``."""

import sys

from courier.daemon import units
from courier.daemon.units import Unit
from pop3d import settings

UNITS = (
    Unit("courier-pop", "pop3d", 110, "POP3DSTART"),
    Unit("courier-pop-ssl", "pop3d-ssl", 995, "POP3DSSLSTART"),
)

if __name__ == "__main__":
    sys.exit(units.main(settings.load, UNITS, sys.argv[1:]))
