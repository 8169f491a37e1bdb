"""A name server for tests: knows what it is told, A and TXT, and that there is nothing else."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from collections.abc import Mapping

_TYPES = {1: "A", 16: "TXT"}


class DnsServer:
    """Answers at a UDP address until `close`; ``records`` by name and type."""

    def __init__(self, address: tuple[str, int], records: Mapping[tuple[str, str], str]) -> None:
        self._records = records
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                query, client = self._socket.recvfrom(4096)
            except OSError:
                return
            if not query:
                return
            self._socket.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        (number,) = struct.unpack_from("!H", query, at + 1)
        question = query[12 : at + 5]
        name = ".".join(labels).lower()
        kind = _TYPES.get(number, str(number))
        self.asked.append((name, kind))
        value = self._records.get((name, kind))
        known = any(name == one for one, _ in self._records)
        flags = 0x8180 if known else 0x8183  # NXDOMAIN
        header = query[:2] + struct.pack("!HHHHH", flags, 1, 0 if value is None else 1, 0, 0)
        if value is None:
            return header + question
        data = (
            ipaddress.ip_address(value).packed
            if kind == "A"
            else bytes([len(value)]) + value.encode()
        )
        record = struct.pack("!HHHIH", 0xC00C, number, 1, 60, len(data)) + data
        return header + question + record
