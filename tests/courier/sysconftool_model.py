"""What Courier's sysconftool does, written down a second time, without care for what it loses.

`test_dist_merge.py` holds it against the real one, and our merge against it.
"""

from __future__ import annotations

import re


def merge(template: bytes, old: bytes | None, name: str) -> tuple[bytes, list[str]]:
    """The new file and the report, versions being different."""
    texts, revisions = _harvest(old or b"")
    lines = re.findall(rb"[^\n]*\n|[^\n]+\Z", template)
    start = next(at for at, line in enumerate(lines) if line.startswith(b"##VERSION:")) + 1
    out, report = lines[:start], []
    keep, previous, replacing, announced = b"", b"", False, False
    for line in lines[start:]:
        if marker := re.match(rb"##NAME:(.*):(.*)\n", line):
            replacing = announced = False
            out.append(keep)
            keep = b""
            section, revision = (part.translate(None, b" \t") for part in marker.groups())
            text = texts.get(section)
            shown = section.decode()
            if text is None:
                report.append(f"{shown}: new")
            elif revisions[section] == revision:
                report.append(f"{shown}: unchanged")
                keep, replacing = text, True
            else:
                report.append(f"{shown}: UPDATED")
                previous = _previous(text)
            out.append(line)
        elif line.startswith(b"#"):
            out.append(line)
        else:
            out.append(previous)
            previous = b""
            if replacing and not announced:
                out.append(b"#\n# DEFAULT SETTING from " + name.encode() + b":\n")
                announced = True
            out.append(b"#" + line if replacing else line)
    return b"".join([*out, keep, previous]), report


def _harvest(old: bytes) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    texts: dict[bytes, bytes] = {}
    revisions: dict[bytes, bytes] = {}
    lines = re.findall(rb"[^\n]*\n|[^\n]+\Z", old)
    version = [at for at, line in enumerate(lines[:20]) if line.startswith(b"##VERSION:")]
    section, in_body = b"", False
    for line in lines[version[0] + 1 :] if version else []:
        if not line.startswith(b"#"):
            in_body = True
            if section not in (b"", b"0"):
                texts[section] = texts.get(section, b"") + line
            continue
        if in_body:
            section = b""
        in_body = False
        if marker := re.match(rb"##NAME:(.*):(.*)\n?", line):
            section, revision = (part.translate(None, b" \t") for part in marker.groups())
            revisions[section] = revision
    return texts, revisions


def _previous(text: bytes) -> bytes:
    lines = text.rstrip(b"\n").split(b"\n")
    quoted = b"".join(b"# " + line + b"\n" for line in lines)
    return b"#\n# Previous setting (inserted by sysconftool):\n#\n" + quoted + b"#\n"
