"""TCPDOPTS: couriertcpd's options, typed."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from courier.setting_reader import Expected
from courier.tcpd_options import Proxied, TcpdOptions, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", TcpdOptions()),
        ("-nodnslookup", TcpdOptions(dns_lookup=False)),
        ("-access=/etc/x.dat -accesslocal", TcpdOptions(access=Path("/etc/x.dat"), access_local=True)),
        ("'-denymsg=go away' -denymsg=no", TcpdOptions(deny_message="no")),
        ("-denymsg=a=b", TcpdOptions(deny_message="a=b")),
        ("-maxperc=20 -warn=0", TcpdOptions(max_per_c=20, warn_at=0)),
        (
            "-address=::1 -maxprocs=10 -maxperip=5",
            TcpdOptions(address=ip_address("::1"), max_daemons=10, max_per_ip=5),
        ),
        (
            "-noidentlookup -proxy -listen=50",
            TcpdOptions(ignored=("-noidentlookup", "-proxy", "-listen")),
        ),
        ("-haproxy=30", TcpdOptions(proxied=(Proxied(30),))),
        ("-haproxy=0", TcpdOptions(proxied=(Proxied(15),))),
        ("-haproxy=/port=1143", TcpdOptions(proxied=(Proxied(15, 1143),))),
        ("-haproxy=10/port=0", TcpdOptions(proxied=(Proxied(10),))),
        (
            "-haproxy=10/port=192.0.2.1.143,5/port=::1.993",
            TcpdOptions(proxied=(
                Proxied(10, 143, ip_address("192.0.2.1")), Proxied(5, 993, ip_address("::1")),
            )),
        ),
    ],
)  # fmt: skip
def test_parse(text: str, expected: TcpdOptions) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-nodns", "options of couriertcpd, not -nodns"),
        ("nodnslookup", "options of couriertcpd, not nodnslookup"),
        ("-", "options of couriertcpd, not -"),
        ("-nodnslookup=1", "-nodnslookup with no value"),
        ("-access", "-access with a value"),
        ("-access=x.dat", "for -access an absolute path"),
        ("-maxperc=many", "for -maxperc a number, at least 1"),
        ("-haproxy", "-haproxy with a value"),
        ("-haproxy=", "for -haproxy SECONDS, SECONDS/port=PORT or SECONDS/port=ADDRESS.PORT, and commas"),
        ("-haproxy=1/port=65536", "for -haproxy ports up to 65535"),
        ("-haproxy=1/port=host.143", "for -haproxy an IP address, or 0 for all"),
        ("-block=zen.example", "no -block (this server asks no DNS lists)"),
        ("-user=daemon", "no -user (this server's users are LOGIN_USER and the accounts')"),
        ("-denymsg='x", "words with their quotes closed"),
    ],
)  # fmt: skip
def test_refused(text: str, expected: str) -> None:
    with pytest.raises(Expected) as caught:
        parse(text)

    assert str(caught.value) == expected
