"""Sharable maildirs: where folders that file permissions open to others are known from.

    nick white-space path         a line of M/shared-maildirs, or of the system's maildirshared

``#`` starts a comment. Who has such a line sees the folders of the maildir at ``path`` that he may read; see
`link_farm` for how he reads them. maildirmake(1) writes the lines.
"""

from __future__ import annotations

from courier.maildir import delivery

NAME = "shared-maildirs"


def definitions(*files: str) -> dict[str, str]:
    """Read which maildirs there are, by nick; of files and lines the first one counts."""
    found: dict[str, str] = {}
    for file in files:
        for line in _lines(file):
            nick, path = _fields(line)
            if path and "." not in nick and "/" not in nick:
                found.setdefault(nick, path)
    return found


def _lines(file: str) -> list[str]:
    try:
        text, _ = delivery.read_regular(file)
    except OSError:
        return []
    return [line.decode("utf-8", "surrogateescape") for line in text.split(b"\n") if line]


def _fields(line: str) -> tuple[str, str]:
    nick, *path = line.partition("#")[0].split(None, 1) or [""]
    return nick, path[0].rstrip() if path else ""
