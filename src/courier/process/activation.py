"""What systemd gives a daemon and wants to know of it: sockets, readiness, watchdog.

With python3-systemd if it is there; without it, or without systemd, there is nothing to inherit
and nobody to notify.
"""

from __future__ import annotations

import importlib
import os
import socket
from typing import Any

from courier import log

try:
    # Untyped, and absent on machines without systemd.
    _systemd: Any = importlib.import_module("systemd.daemon")
except ImportError:
    _systemd = None


def inherited() -> dict[str, list[socket.socket]]:
    """Take the listening sockets passed in, by the name of their socket unit.

    Anything else is closed: every process that is forked would have it open.
    """
    if _systemd is None:
        return {}
    found: dict[str, list[socket.socket]] = {}
    for descriptor, name in _systemd.listen_fds_with_names(unset_environment=True).items():
        if _systemd.is_socket(descriptor, socket.AF_UNSPEC, socket.SOCK_STREAM, 1):
            listener = socket.socket(fileno=descriptor)
            listener.setblocking(False)
            os.set_inheritable(descriptor, False)
            found.setdefault(name, []).append(listener)
        else:
            log.warn(f"the service manager's {name} is no listening socket, and closed")
            os.close(descriptor)
    return found


def notify(**state: str | int) -> None:
    """Tell the service manager, as ``notify(READY=1, STATUS="…")``."""
    if _systemd is None:
        return
    try:
        _systemd.notify("\n".join(f"{name}={value}" for name, value in state.items()))
    except OSError:
        pass  # whoever wanted to know is gone: no reason to end


def watchdog_interval_s() -> float | None:
    """Give how often `notify(WATCHDOG=1)` is wanted: twice in the manager's own limit."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    limit_us = os.environ.get("WATCHDOG_USEC", "")
    return int(limit_us) / 2_000_000 if limit_us.isdigit() and int(limit_us) else None


def is_systemd() -> bool:
    """Tell whether standard error is the journal, which takes levels as ``<6>``."""
    return "JOURNAL_STREAM" in os.environ
