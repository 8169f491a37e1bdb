"""-block and -allow: what lists in the DNS say; by real Courier's couriertcpd, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest

from classic import dns_list
from classic.dns_list import DnsList
from tests.classic.conftest import Find
from tests.conftest import missing
from tests.support.servers import ROOT

LISTED = "2.0.0.127.block.example"
RECORDS = {
    (LISTED, "A"): "127.0.0.4",
    (LISTED, "TXT"): "It is known.",
    ("2.0.0.127.good.example", "A"): "127.0.0.1",
    ("3.0.0.127.good.example", "A"): "127.0.0.1",
    ("3.0.0.127.good.example", "TXT"): "Nice people.",
}
HIT = {"BLOCK_ZONE": "block.example", "BLOCK_IP": "127.0.0.4"}

# Options, the client's address, and the variables that it has.
CASES: Sequence[tuple[list[str], str, dict[str, str]]] = [
    (["-block=block.example"], "127.0.0.2", {**HIT, "BLOCK": "Blacklisted by block.example"}),
    (["-block=block.example"], "127.0.0.9", {}),
    (["-block=block.example=Shown"], "127.0.0.2",
     {**HIT, "BLOCK_ZONE": "Shown", "BLOCK": "Blacklisted by block.example"}),
    (["-block=block.example,,*"], "127.0.0.2",
     {**HIT, "BLOCK_TXT": "It is known.", "BLOCK": "It is known."}),
    (["-block=block.example,BLOCK,No @, no."], "127.0.0.2",
     {**HIT, "BLOCK": "No ::ffff:127.0.0.2, no."}),
    (["-block=block.example,BLOCK/127.0.0.4,Out"], "127.0.0.2", {**HIT, "BLOCK": "Out"}),
    (["-block=block.example,BLOCK/127.0.0.5,Out"], "127.0.0.2", {}),
    (["-block=block.example,OWN"], "127.0.0.2",
     {"OWN_ZONE": "block.example", "OWN_IP": "127.0.0.4", "OWN": "Blacklisted by block.example"}),
    (["-allow=good.example", "-block=block.example"], "127.0.0.2",
     {"BLOCK": "", "BLOCK_ZONE": "good.example", "BLOCK_IP": "127.0.0.1", "ALLOW_0": "BLOCK"}),
    (["-allow=good.example,BLOCK,"], "127.0.0.3",
     {"BLOCK": "", "BLOCK_ZONE": "good.example", "BLOCK_IP": "127.0.0.1",
      "BLOCK_TXT": "Nice people.", "ALLOW_0": "BLOCK"}),
    (["-block=block.example", "-drop"], "127.0.0.2", {"closed": ""}),
]  # fmt: skip

# Debian 12's couriertcpd leaves the variable itself unset where the option has no message of its own, or
# `*`, against its manual; so -drop drops nobody.
BUT_OF_COURIER: Mapping[int, dict[str, str]] = {
    0: HIT,
    2: {**HIT, "BLOCK_ZONE": "Shown"},
    3: {},
    7: {"OWN_ZONE": "block.example", "OWN_IP": "127.0.0.4"},
    10: HIT,
}

# Runs in a network of its own, where the name server may have port 53.
SCRIPT = """
import json, socket, subprocess, sys
from tests.classic.test_couriertcpd import all_of, is_listening
from tests.support.daemon import wait_until
from tests.support.dns_server import DnsServer

command, records, cases = json.loads(sys.stdin.read())
DnsServer(("127.0.0.1", 53), {tuple(key): value for key, value in records})
for number, (options, ip) in enumerate(cases):
    port = 1000 + number
    process = subprocess.Popen(
        [*command, "-nodnslookup", "-address=127.0.0.1", *options, str(port), "/usr/bin/env"])
    wait_until(lambda: is_listening(port))
    with socket.create_connection(("127.0.0.1", port), 20, (ip, 0)) as client:
        lines = all_of(client).decode().splitlines()
    process.kill()
    process.wait()
    found = dict(line.split("=", 1) for line in lines) or {"closed": ""}
    print(json.dumps({name: value for name, value in found.items()
                      if name.split("_")[0] in ("BLOCK", "OWN", "ALLOW", "closed")}))
"""
NETWORK = """
ip link set lo up
printf 'nameserver 127.0.0.1\\noptions timeout:20 attempts:1\\n' >"$0"
mount --bind "$0" "$(readlink -f /etc/resolv.conf)"
exec "$@"
"""


@pytest.mark.root
@pytest.mark.slow
def test_lists_of_a_name_server(find: Find, tmp_path: os.PathLike[str]) -> None:
    """Each case has its variables, and no others; a listed client is dropped where that is asked for."""
    if os.geteuid() != 0:
        missing("root's rights, for a network of one's own")
    program = find("couriertcpd")
    script = [sys.executable, "-c", SCRIPT]
    work = [program.command, list(RECORDS.items()), [case[:2] for case in CASES]]

    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-ec", NETWORK, f"{tmp_path}/resolv.conf", *script],
        input=json.dumps(work).encode(),
        env={**program.environment, "PYTHONPATH": f"{ROOT}:{ROOT}/src"},
        stdout=subprocess.PIPE,
        timeout=120,
        check=True,
    )

    found = [json.loads(line) for line in done.stdout.splitlines()]
    expected = [variables for _, _, variables in CASES]
    if not program.is_ours:
        for number, variables in BUT_OF_COURIER.items():
            expected[number] = variables
    assert found == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("z", DnsList("z", "z", "BLOCK", None, None, False)),
        ("z=d,V/1.2.3.4,m,n", DnsList("z", "d", "V", "1.2.3.4", "m,n", False)),
        ("z,/1.2.3.4", DnsList("z", "z", "BLOCK", "1.2.3.4", None, False)),
        ("z,V,", DnsList("z", "z", "V", None, "", False)),
    ],
)
def test_parse(text: str, expected: DnsList) -> None:
    assert dns_list.parse(text, allows=False) == expected


class Fake:
    """Knows all of the questions of one test."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def ask(self, name: str, kind: str) -> Sequence[str]:
        self.asked.append((name, kind))
        return ("127.0.0.2",) if kind == "A" else ("said",)


def test_ipv6() -> None:
    """An IPv6 address is asked for digit by digit, an IPv4-mapped one as IPv4."""
    fake = Fake()

    dns_list.look_up([dns_list.parse("z", allows=False)], "2001:db8::1", {}, fake)
    dns_list.look_up([dns_list.parse("z", allows=False)], "::ffff:192.0.2.1", {}, fake)

    assert fake.asked == [
        ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.z", "A"),
        ("1.2.0.192.z", "A"),
    ]


def test_variable_that_is_set() -> None:
    """A list is not asked when its variable is there, even if empty."""
    fake, environment = Fake(), {"BLOCK": ""}

    dns_list.look_up([dns_list.parse("z", allows=False)], "192.0.2.1", environment, fake)

    assert (fake.asked, environment) == ([], {"BLOCK": ""})
