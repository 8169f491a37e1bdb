"""makeimapaccess: compile the access file of imapd. See makeimapaccess(8)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from courier import paths, shell
from courier.net import access_source
from courier.net.access_source import SourceError
from courier.process import service
from courier.process.service import PidFile


def main() -> int:
    try:
        settings = _settings()
        source = settings["IMAPACCESSFILE"]
        if not source:
            print(
                f"ERROR: No IMAPACCESSFILE specified in {paths.SYSCONFDIR}/imapd", file=sys.stderr
            )
            return 1
        access_source.build(Path(source), Path(source + ".dat"))
    except SourceError as failure:
        for line in failure.lines:
            print(line, file=sys.stderr)
        return 1
    except shell.ShellError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"makeimapaccess: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    # pycourier's servers notice the new file; Courier's own have to be told.
    for name in ("PIDFILE", "SSLPIDFILE"):
        service.restart(PidFile(Path(settings[name])))
    return 0


def _settings() -> Mapping[str, str]:
    """Read what both servers' settings files say of access file and pid files."""
    files = (paths.SYSCONFDIR / "imapd", paths.SYSCONFDIR / "imapd-ssl")
    found = shell.read(files, paths.SHELL_VARIABLES)
    defaults = {
        "IMAPACCESSFILE": "",
        "PIDFILE": str(paths.RUNDIR / "imapd.pid"),
        "SSLPIDFILE": str(paths.RUNDIR / "imapd-ssl.pid"),
    }
    return defaults | {name: one.value for name, one in found.items()}


if __name__ == "__main__":
    sys.exit(main())
