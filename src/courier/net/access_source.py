"""The text that an access database is made from: one file, or a directory of files.

    line = key TAB value LF            ; no value: 1, which allows
         / net 1*white value LF       ; `192.0.2.0/22`, `10.0.0.1-10.0.0.9`, `2001:db8::/32`

Empty lines and lines that begin with `#` are comments, a line with a dot alone is the end. A net
becomes one record for each prefix of whole octets (IPv4) or words of 16 bits (IPv6) in it, which
is all that the database knows. So does an IPv6 address, but for what is written in the database's
own form, `:2001:0db8`.
"""

from __future__ import annotations

import contextlib
import dbm.gnu
import errno
import ipaddress
import os
import re
import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

_NET = re.compile(rb"([0-9A-Fa-f:.]+[-/][0-9A-Fa-f:.]+)(?:[ \t\v\f\r]+(.*))?", re.DOTALL)
_LEFT_BY_A_PACKAGE = re.compile(r"\.dpkg-[a-z]|\.(?:rpmsave|rpmnew)\Z")
_NO_VALUE = b"1"

Network = IPv4Network | IPv6Network


class SourceError(Exception):
    """The text can't be compiled: ``lines`` say where and why."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def build(source: Path, target: Path) -> None:
    """Make the database ``target`` of ``source``, and put it in the place of the old one.

    Others see the old database or the new one, whole. A crash may leave a file beside ``target``
    whose name begins with a dot.

    Raises:
        SourceError: the text says something that can't be meant; the old database stays.
        OSError: a file can't be read or written; likewise.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    made = Path(name)
    try:
        os.fchmod(descriptor, 0o644)
        os.close(descriptor)
        with contextlib.closing(dbm.gnu.open(name, "nf")) as database:
            for key, value in _records(source):
                if key in database:
                    raise _duplicate(key)
                database[key] = value
            database.sync()
        made.rename(target)
    except dbm.gnu.error as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), made) from error
    finally:
        made.unlink(missing_ok=True)


def check(source: Path) -> bool:
    """Read the text; tell whether it says anything.

    Raises:
        SourceError: it says something that can't be meant.
        OSError: it can't be read.
    """
    keys: set[bytes] = set()
    for key, _ in _records(source):
        if key in keys:
            raise _duplicate(key)
        keys.add(key)
    return bool(keys)


def _duplicate(key: bytes) -> SourceError:
    # Courier: the same words for a full disk.
    text = key.decode("utf-8", "backslashreplace")
    return SourceError(f"Cannot store record for {text} - duplicate or out of disk space.")


def _records(source: Path) -> Iterator[tuple[bytes, bytes]]:
    for path in _files(source):
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
            if line == b".":
                return
            if not line or line.startswith(b"#"):
                continue
            match = _NET.fullmatch(line)
            if match is not None:
                written, value = match[1], match[2]
            else:
                written, _, value = line.partition(b"\t")
            if not written:  # Courier: a line without a key is passed over
                continue
            for key in _keys(f"{path}:{number}", written, is_net=match is not None):
                yield key, value or _NO_VALUE


def _files(source: Path) -> Iterator[Path]:
    """Yield the files of a directory in the order of their names, as Courier 5.2 chooses them."""
    if not source.is_dir():
        yield source
        return
    for path in sorted(source.iterdir()):
        if not path.is_file() or path.name.endswith("~"):
            continue
        if _LEFT_BY_A_PACKAGE.search(path.name):
            raise SourceError(
                f"{path} found, please investigate and remove it, and",
                f"make any needed changes to {_LEFT_BY_A_PACKAGE.split(str(path))[0]}",
            )
        if path.suffix == ".dist":
            if not path.with_suffix("").exists():
                raise SourceError(f"{path} exists, please copy to {path.with_suffix('')}")
            continue
        yield path


# --- Nets -----------------------------------------------------------------------------------------


def _keys(place: str, written: bytes, *, is_net: bool) -> Iterator[bytes]:
    # Courier: an IPv6 address as people write it, or a slash in anything but a net, is a key that
    # nobody's address ever has. The first is taken for what it means, the second refused.
    text = written.decode("utf-8", "backslashreplace")
    is_net = is_net or b"/" in written
    try:
        networks = _networks(text) if is_net else [IPv6Network(text)]
    except ValueError:
        if is_net:
            raise SourceError(f"{place}: {text}: no net or range of addresses") from None
        yield written
        return
    for network in networks:
        for prefix in _prefixes(network):
            yield prefix.encode()


def _networks(net: str) -> list[Network]:
    first, dash, last = net.partition("-")
    if dash:
        begin, end = _address(first, "0"), _address(last, "255")
        if isinstance(begin, IPv4Address) and isinstance(end, IPv4Address):
            return list(ipaddress.summarize_address_range(begin, end))
        if isinstance(begin, IPv6Address) and isinstance(end, IPv6Address):
            return list(ipaddress.summarize_address_range(begin, end))
        raise ValueError(net)
    address, _, length = net.partition("/")
    if not re.fullmatch("[0-9]{1,3}", length):
        raise ValueError(net)
    return [ipaddress.ip_network((_address(address, "0"), int(length)), strict=False)]


def _address(text: str, missing: str) -> IPv4Address | IPv6Address:
    """Read an address; octets of IPv4 that are left out at the end are ``missing``."""
    if ":" in text:
        return IPv6Address(text)
    octets = text.split(".")
    return IPv4Address(".".join(octets + [missing] * (4 - len(octets))))


def _prefixes(network: Network) -> Iterator[str]:
    """Yield the keys of the least prefixes of whole octets or words that are in a net."""
    width = 8 if network.version == 4 else 16
    bits = max(width, -(-network.prefixlen // width) * width)
    count = 1 << (bits - network.prefixlen)
    first = int(network.network_address) >> (network.max_prefixlen - bits)
    for prefix in range(first, first + count):
        words = [prefix >> shift & (1 << width) - 1 for shift in range(bits - width, -1, -width)]
        yield ".".join(map(str, words)) if width == 8 else "".join(f":{word:04x}" for word in words)
