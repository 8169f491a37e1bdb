"""couriertcpd's command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classic import dns_list, owner, words
from classic.dns_list import DnsList
from classic.words import Wrong
from courier import setting_reader as read
from courier import tcpd_options
from courier.net.listener import Endpoint
from courier.process.privileges import Ids
from courier.setting_reader import Address, Expected
from courier.tcpd_options import Proxied

_KNOWN = (
    *("access", "accesslocal", "address", "allow", "block", "denymsg", "drop", "group", "haproxy"),
    *("listen", "maxperc", "maxperip", "maxprocs", "nodnslookup", "noidentlookup", "pid", "proxy"),
    *("restart", "stderr", "stderrlogger", "stderrloggername", "stop", "user", "warn"),
)
_USAGE = "Usage: couriertcpd [options] port prog arg1 arg2..."
_MAX_PROCESSES, _MAX_PER_IP = 40, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line; of ``program`` nothing is there with ``verb``."""

    endpoints: tuple[Endpoint, ...]
    program: tuple[str, ...]
    verb: str | None
    pid_file: Path | None
    ids: Ids | None
    access: Path | None
    access_local: bool
    deny_message: str
    proxied: tuple[Proxied, ...]
    max_processes: int
    max_per_ip: int
    max_per_c: int
    warn_at: int | None
    backlog: int | None
    dns_lookup: bool
    dns_lists: tuple[DnsList, ...]
    drop: str | None  # the variable that, set, ends a connection
    stderr: str | None
    logger: str | None
    logger_name: str


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line.

    Raises:
        Wrong: it can't be meant.
    """
    wrong = "couriertcpd: Invalid option: {}"
    found, rest = words.split(arguments, _KNOWN, wrong, lone_dash=True)
    values = dict(found)
    verb = next(reversed(list(words.verbs(found))), None)
    if verb is not None and not values.get("pid"):
        raise Wrong("couriertcpd: -pid argument is required.")
    if verb is None and len(rest) < 2:
        raise Wrong(_USAGE)
    max_processes = _number(values, "maxprocs", _MAX_PROCESSES, "-maxprocsarg")
    backlog = _number(values, "listen", 0, "-listen")
    warn_at = _atoi(values.get("warn", "-1"))
    program = tuple(rest[1:])
    return Options(
        endpoints=() if verb else _endpoints(rest[0], values.get("address", "")),
        program=program,
        verb=verb,
        pid_file=Path(values["pid"]) if values.get("pid") else None,
        ids=owner.ids(values.get("user"), values.get("group")),
        access=Path(values["access"]) if values.get("access") else None,
        access_local="accesslocal" in values,
        deny_message=values.get("denymsg", ""),
        proxied=_proxied(values.get("haproxy")),
        max_processes=max_processes,
        max_per_ip=_number(values, "maxperip", _MAX_PER_IP, "-maxperip"),
        max_per_c=_number(values, "maxperc", max_processes, "-maxperc"),
        warn_at=warn_at if 0 <= warn_at <= max_processes else None,
        backlog=backlog or None,
        dns_lookup="nodnslookup" not in values,
        dns_lists=tuple(
            dns_list.parse(value, allows=name == "allow")
            for name, value in found
            if name in ("allow", "block") and value
        ),
        drop=values["drop"].partition(",")[0] or "BLOCK" if "drop" in values else None,
        stderr=values.get("stderr") or None,
        logger=values.get("stderrlogger") or None,
        logger_name=values.get("stderrloggername") or Path(program[0] if program else "").name,
    )


def _number(values: Mapping[str, str], name: str, default: int, called: str) -> int:
    if name not in values:
        return default
    number = _atoi(values[name])
    if number <= 0:
        raise Wrong(f"Invalid {called} option.")
    return number


def _atoi(text: str) -> int:
    try:
        return read.atoi(text)
    except Expected:
        return 0


def _endpoints(text: str, default: str) -> tuple[Endpoint, ...]:
    return tuple(_endpoint(item.strip(), default) for item in text.split(","))


def _endpoint(item: str, default: str) -> Endpoint:
    host, _, service = item.rpartition(".")
    try:
        port = read.port_or_none(service)
    except Expected:
        port = None
    if port is None:
        raise Wrong(f"Invalid port: {service}")
    return Endpoint(port, _address(host) or _address(default), "bind")


def _address(text: str) -> Address | None:
    try:
        return read.address(text)
    except Expected:
        raise Wrong(f"Invalid IP address: {text}") from None


def _proxied(text: str | None) -> tuple[Proxied, ...]:
    if text is None:
        return ()
    try:
        return tcpd_options.proxied(text)
    except Expected as expected:
        # Courier: without a value it means nothing, though the manual says otherwise.
        raise Wrong(f"Invalid -haproxy option: expected {expected}") from None
