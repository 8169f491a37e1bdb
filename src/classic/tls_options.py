"""couriertls's command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from classic import owner, words
from classic.words import Wrong
from courier.process.privileges import Ids

_KNOWN = (
    *("host", "localfd", "port", "printx509", "protocol", "remotefd", "server", "statusfd"),
    *("tcpd", "user", "verify"),
)
PROTOCOLS = ("smtp", "imap", "pop3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line. ``remote``: the connection's descriptor, or there are ``host`` and ``port``."""

    is_server: bool
    is_tcpd: bool
    remote: int | None
    host: str
    port: str
    local: int | None
    status: int | None
    print_certificate: int | None
    verify: str | None
    protocol: str | None
    ids: Ids | None
    program: tuple[str, ...]


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line.

    Raises:
        Wrong: it can't be meant.
    """
    wrong = "couriertls: Invalid option: {}"
    found, program = words.split(arguments, _KNOWN, wrong, lone_dash=True)
    values = dict(found)
    remote = 0 if "tcpd" in values else _descriptor(values, "remotefd")
    host, port = values.get("host", ""), values.get("port", "")
    if remote is None and not (host and port):
        raise Wrong("couriertls: specify remote location.")
    protocol = values.get("protocol") or None
    if protocol is not None and protocol not in PROTOCOLS:
        raise Wrong(f"--protocol={protocol} - unknown protocol.")
    return Options(
        is_server="server" in values,
        is_tcpd="tcpd" in values,
        remote=remote,
        host=host,
        port=port,
        local=_descriptor(values, "localfd"),
        status=_descriptor(values, "statusfd"),
        print_certificate=_descriptor(values, "printx509"),
        verify=values.get("verify") or None,
        protocol=protocol,
        ids=owner.ids(values.get("user"), None),
        program=tuple(program),
    )


def _descriptor(values: Mapping[str, str], name: str) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise Wrong(f"couriertls: -{name}: expected a descriptor's number, found {text!r}")
    return int(text)
