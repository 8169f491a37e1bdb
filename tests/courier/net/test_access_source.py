"""courier.net.access_source: what text becomes which records, and what is refused."""

from __future__ import annotations

import dbm.gnu
import os
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.net.access import AccessFile, Denied
from courier.net.access_source import SourceError, build, check


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "imapaccess"


def compiled(source: Path, text: str | None = None) -> dict[str, str]:
    if text is not None:
        source.write_text(text)
    target = source.with_name("imapaccess.dat")
    build(source, target)
    with dbm.gnu.open(str(target), "r") as database:
        return {key.decode(): database[key].decode() for key in database.keys()}  # noqa: SIM118


def test_records(source: Path) -> None:
    """Comments and empty lines are none; no value is 1; the rest is taken as it stands."""
    text = (
        "# a\n\n192.168.0\tallow\n10\n1.2.3.4\t\n:2001:0db8\tdeny\tx\n*\tdeny\n.\nafter\tthe end\n"
    )

    assert compiled(source, text) == {
        "192.168.0": "allow", "10": "1", "1.2.3.4": "1", ":2001:0db8": "deny\tx", "*": "deny",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("net", "keys"),
    [
        ("192.168.0.0/22", ["192.168.0", "192.168.1", "192.168.2", "192.168.3"]),
        ("10.0.0.0/25", [f"10.0.0.{at}" for at in range(128)]),
        ("10.0.0.0/8", ["10"]),
        ("10/8", ["10"]),
        ("10.0.0.0/9", [f"10.{at}" for at in range(128)]),
        ("192.168.0.5/24", ["192.168.0"]),
        ("0.0.0.0/0", [str(at) for at in range(256)]),
        ("10.0.0.0-10.0.0.2", ["10.0.0.0", "10.0.0.1", "10.0.0.2"]),
        ("10.1-10.2", ["10.1", "10.2"]),
        ("10.0.0.0-10.1.255.255", ["10.0", "10.1"]),
        ("2001:DB8::/32", [":2001:0db8"]),
        ("2001:DB8::/30", [":2001:0db8", ":2001:0db9", ":2001:0dba", ":2001:0dbb"]),
        ("::1/128", [":0000:0000:0000:0000:0000:0000:0000:0001"]),
        ("2001:db8::5/64", [":2001:0db8:0000:0000"]),
    ],
)
def test_nets(source: Path, net: str, keys: list[str]) -> None:
    """As Net::CIDR takes them apart, which Courier uses; with or without a value."""
    assert compiled(source, f"{net}\tallow\n") == dict.fromkeys(keys, "allow")
    assert compiled(source, f"{net}  deny\n") == dict.fromkeys(keys, "deny")
    assert compiled(source, net) == dict.fromkeys(keys, "1")


@pytest.mark.slow
@given(address=st.ip_addresses(), length=st.integers(0, 128))
def test_every_address_of_a_net_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, address: IPv4Address, length: int
) -> None:
    """What the daemon finds under an address agrees with the net, at both of its ends."""
    network = ip_network((address, min(length, address.max_prefixlen)), strict=False)
    if network.version == 6 and (network.prefixlen < 8 or int(address) >> 32 in (0, 0xFFFF)):
        return  # many records; IPv4 in another form
    directory = tmp_path_factory.mktemp("net")
    (directory / "source").write_text(f"{network}\tdeny\n")
    build(directory / "source", directory / "made")
    access = AccessFile(directory / "made", print)

    first, last = int(network.network_address), int(network.broadcast_address)
    for number in (first - 1, first, int(address), last, last + 1):
        if 0 <= number < 1 << address.max_prefixlen:
            one = ip_address(number.to_bytes(address.max_prefixlen // 8, "big"))
            assert isinstance(access.remote(str(one)), Denied) == (one in network)
    access.close()


@pytest.mark.parametrize(
    "net",
    [
        "999.1.1.1/8", "10.0.0.0/33", "::/129", "10.0.0.5-10.0.0.1", "1.2.3.4-::1", "10.0.0.0/8/9",
        "abc/8", "10.0.0.0/-1", "1.2.3.4.5/8", "::1/::g", "10.0.0.0/::",
    ],
)  # fmt: skip
def test_net_that_is_none(source: Path, net: str) -> None:
    """It is told with file and line, and the old database stays."""
    assert compiled(source, "*\tdeny\n") == {"*": "deny"}
    source.write_text(f"# first\n{net}\tallow\n")

    for act in (lambda: check(source), lambda: build(source, source.with_name("imapaccess.dat"))):
        with pytest.raises(SourceError) as caught:
            act()
        assert caught.value.lines == (f"{source}:2: {net}: no net or range of addresses",)
    with dbm.gnu.open(str(source) + ".dat", "r") as database:
        assert database[b"*"] == b"deny"
    assert sorted(os.listdir(source.parent)) == ["imapaccess", "imapaccess.dat"]


def test_ipv6_address_as_people_write_it(source: Path) -> None:
    """It means what it says, and not a key that no client ever has."""
    key = ":2001:0db8:0000:0000:0000:0000:0000:0001"
    assert compiled(source, "2001:db8::1\tdeny\n") == {key: "deny"}


@pytest.mark.parametrize("text", ["a\tdeny\na\tallow\n", "10/8\tdeny\n10\tallow\n"])
def test_duplicate(source: Path, text: str) -> None:
    source.write_text(text)

    for act in (lambda: check(source), lambda: compiled(source)):
        with pytest.raises(SourceError, match=r"^Cannot store record for .* - duplicate or out of"):
            act()


def test_directory(source: Path) -> None:
    """Its files are one text, each complete; what is no text of the administrator's is left out."""
    source.mkdir()
    for name, text in {
        "20-late": "b\t2\n", "10-early": "a\t1", ".hidden": "h\n", "old~": "x\n",
        "local": "c\n", "local.dist": "d\n",
    }.items():  # fmt: skip
        (source / name).write_text(text)
    (source / "below").mkdir()
    (source / "below" / "file").write_text("e\n")

    assert compiled(source) == {"a": "1", "b": "2", "h": "1", "c": "1"}


@pytest.mark.parametrize(
    "name", ["local.dpkg-dist", "local.dpkg-old", "local.rpmsave", "local.rpmnew"]
)
def test_directory_with_leftovers_of_a_package(source: Path, name: str) -> None:
    """Nobody but the administrator knows whether they count."""
    source.mkdir()
    (source / name).write_text("*\tdeny\n")

    with pytest.raises(SourceError) as caught:
        check(source)
    assert caught.value.lines == (
        f"{source}/{name} found, please investigate and remove it, and",
        f"make any needed changes to {source}/local",
    )


def test_directory_with_a_template_alone(source: Path) -> None:
    source.mkdir()
    (source / "local.dist").write_text("*\tdeny\n")

    with pytest.raises(SourceError, match=r"local\.dist exists, please copy to .*/local$"):
        check(source)


def test_nothing_said(source: Path) -> None:
    source.mkdir()

    assert check(source) is False
    assert compiled(source) == {}


def test_mode_is_not_the_umask_s(source: Path) -> None:
    old = os.umask(0o077)
    try:
        compiled(source, "a\n")
    finally:
        os.umask(old)
    assert (source.parent / "imapaccess.dat").stat().st_mode & 0o777 == 0o644


def test_source_that_is_missing(source: Path) -> None:
    with pytest.raises(FileNotFoundError):
        compiled(source)
    assert os.listdir(source.parent) == []
