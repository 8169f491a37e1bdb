"""Carry an administrator's settings from the old version of a settings file into the new one.

A file is in sections, each of them a marker, comments that explain it, and settings:

    file         = *line version-line *line *section
    version-line = "##VERSION:" *any                    within the first 20 lines
    section      = marker *comment *text
    marker       = "##NAME:" name ":" revision          the last colon counts
    comment      = "#" *any
    text         = any line, from the section's first one that is no comment

The template gives the order of sections and their comments, the old file gives each section's
text, if the revision is the same; the template's own text then stands before it as a comment. If
the revision differs, the template's text is taken, and the old one becomes a comment. That is
Courier's `sysconftool`, and so is each byte of the result, as long as that tool loses nothing.

What it loses is kept here:

- A section's text goes on to the next marker. `sysconftool` stops at the first comment in it.
- What the template has no place for (sections that are gone or were invented, lines before the
  first section, previous settings of earlier merges) is kept in a comment, at the end of the file
  or in its section, and found again by the next merge.
- So are remarks between a section's own comments, if these are all still the template's. If they
  aren't, what was a remark can't be told from an old explanation, and the template's are taken.
- A file without version line is merged by its sections; lines that end in CR LF are taken for
  LF, and a last line without one gets it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

VERSION_WITHIN_LINES = 20

_MARKER = re.compile(rb"##NAME:(.*):(.*)\Z", re.DOTALL)
_ASSIGNED = re.compile(rb"#([A-Za-z_][A-Za-z0-9_]*)=")
_DEFAULT = re.compile(rb"# DEFAULT SETTING from .*:\Z", re.DOTALL)
_PREVIOUS = b"# Previous setting (inserted by sysconftool):"
_KEPT = re.compile(
    rb"# Kept from the old file, (?:section (.*):.*|its beginning) "
    rb"\(inserted by sysconftool\):\Z",
    re.DOTALL,
)
_BEGINNING = None  # stands for a section's name

Lines = list[bytes]  # without their line feeds


class HeaderNotFound(Exception):
    """The template has no version line within its first 20 lines."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The new file, and what `sysconftool` reports: `NAME: unchanged` and the like."""

    text: bytes
    report: tuple[str, ...]


def merge(template: bytes, old: bytes | None, name: str, *, force: bool = False) -> Merged | None:
    """Return ``template`` with the settings of ``old``; ``name`` is what it's called in comments.

    Returns:
        None if both are of the same version, unless ``force``.

    Raises:
        HeaderNotFound: the template is no template.
    """
    new = _lines(template)
    version = _version_at(new)
    if version is None:
        raise HeaderNotFound(name)
    if old is None:
        return _Writer(new, _Old(), name).merged(version)
    found = _lines(old)
    at = _version_at(found)
    if not force and at is not None and found[at] == new[version]:
        return None
    return _Writer(new, _harvest(found, at, _sections(new)), name).merged(version)


def _lines(text: bytes) -> Lines:
    return text.removesuffix(b"\n").split(b"\n") if text else []


def _version_at(lines: Lines) -> int | None:
    for number, line in enumerate(lines[:VERSION_WITHIN_LINES]):
        if line.startswith(b"##VERSION:"):
            return number
    return None


def _marker(line: bytes) -> tuple[bytes, bytes] | None:
    """A marker's name and revision, without blanks."""
    match = _MARKER.match(line)
    return match and (_without_blanks(match[1]), _without_blanks(match[2]))


def _without_blanks(text: bytes) -> bytes:
    return text.translate(None, b" \t")


def _is_comment(line: bytes) -> bool:
    return line.startswith(b"#")


def _says_something(line: bytes) -> bool:
    return line.strip(b"# \t\r") != b""


@dataclass(slots=True)
class _Section:
    """All sections of one name, as one."""

    revision: bytes = b""
    comments: Lines = field(default_factory=list)
    texts: list[Lines] = field(default_factory=list)

    @property
    def text(self) -> Lines:
        return [line for text in self.texts for line in text]


def _sections(lines: Lines) -> dict[bytes | None, _Section]:
    """Sections by name; what stands before them under `_BEGINNING`."""
    section = _Section()
    found: dict[bytes | None, _Section] = {_BEGINNING: section}
    in_text = False
    for line in lines:
        if marker := _marker(line):
            section = found.setdefault(marker[0], _Section())
            section.revision = marker[1]
            in_text = False
        elif in_text:
            section.texts[-1].append(line)
        elif _is_comment(line):
            section.comments.append(line)
        else:
            section.texts.append([line])
            in_text = True
    return found


# --- The old file -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines kept as a comment."""

    header: bytes
    lines: tuple[bytes, ...]

    def written(self) -> Lines:
        return [b"#", self.header, b"#", *(b"# " + line for line in self.lines), b"#"]


def _kept(section: bytes | None, revision: bytes, lines: Sequence[bytes]) -> _Block:
    where = b"its beginning" if section is None else b"section %s:%s" % (section, revision)
    return _Block(b"# Kept from the old file, %s (inserted by sysconftool):" % where, tuple(lines))


def _previous(lines: Sequence[bytes]) -> _Block:
    return _Block(_PREVIOUS, tuple(_without_empty_end(lines)))


def _without_empty_end(lines: Sequence[bytes]) -> Sequence[bytes]:
    end = len(lines)
    while end > 1 and not lines[end - 1]:
        end -= 1
    return lines[:end]


@dataclass(slots=True)
class _Old:
    """What the old file has to give."""

    texts: dict[bytes, Lines] = field(default_factory=dict)
    revisions: dict[bytes, bytes] = field(default_factory=dict)
    blocks: dict[bytes | None, list[_Block]] = field(default_factory=dict)
    report: list[str] = field(default_factory=list)

    def keep(self, section: bytes | None, block: _Block) -> None:
        blocks = self.blocks.setdefault(section, [])
        if block not in blocks:
            blocks.append(block)


def _harvest(raw: Lines, version: int | None, template: dict[bytes | None, _Section]) -> _Old:
    old = _Old()
    lines = [line.removesuffix(b"\r") for line in raw]
    if lines != raw:
        old.report.append("(line ends): CR LF became LF")
    if version is not None:
        del lines[version]
    for name, section in _sections(_without_blocks(lines, old)).items():
        text = section.text
        # sysconftool: without a version line nothing is the old file's, so an empty text isn't.
        is_there = text and (version is not None or any(map(_says_something, text)))
        if name is None or name not in template:
            _keep_text(old, name, section)
        elif is_there:
            old.texts[name] = [
                line for text in section.texts for line in _carried(text, template[name])
            ]
            old.revisions[name] = section.revision
        if name in template:
            _keep_remarks(old, name, section, template[name])
    return old


def _without_blocks(lines: Lines, old: _Old) -> Lines:
    """Move the comments of earlier merges from ``lines`` to ``old``."""
    rest: Lines = []
    section: bytes | None = _BEGINNING
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if marker := _marker(line):
            section = marker[0]
        kept = _KEPT.match(line)
        if not kept and line != _PREVIOUS:
            rest.append(line)
            continue
        if rest and rest[-1] == b"#":
            rest.pop()
        while at < len(lines) and lines[at] == b"#":
            at += 1
        start = at
        while at < len(lines) and lines[at].startswith(b"# "):
            at += 1
        block = _Block(line, tuple(line[2:] for line in lines[start:at]))
        if at < len(lines) and lines[at] == b"#":
            at += 1
        # A previous setting stands in its section; of other blocks the header says where from.
        old.keep(kept[1] if kept else section, block)
    return rest


def _carried(text: Lines, template: _Section) -> Lines:
    """A section's text, without what follows its settings and stands in the template, too."""
    end = next((at for at, line in enumerate(text) if _is_comment(line)), len(text))
    theirs = set(_comments(template))
    rest = [line for line in text[end:] if _says_something(line)]
    return text[:end] if all(line in theirs for line in rest) else text


def _comments(section: _Section) -> Lines:
    return [*section.comments, *filter(_is_comment, section.text)]


def _settings(section: _Section) -> Lines:
    return [line for line in section.text if not _is_comment(line)]


def _keep_text(old: _Old, name: bytes | None, section: _Section) -> None:
    """Keep what the new file has no place for."""
    if not any(map(_says_something, _settings(section))):
        return
    lines = section.text if name is None else [*section.comments, *section.text]
    saying = [at for at, line in enumerate(lines) if _says_something(line)]
    old.keep(name, _kept(name, section.revision, lines[saying[0] : saying[-1] + 1]))
    shown = _shown(name) if name else "(before the first section)"
    old.report.append(f"{shown}: kept as a comment")


def _keep_remarks(old: _Old, name: bytes | None, section: _Section, template: _Section) -> None:
    theirs = [line for line in _comments(template) if not _is_version(line)]
    ours = set(_comments(section))
    if not all(line in ours for line in theirs if _says_something(line)):
        return
    # Before the first section an empty line isn't the beginning of a text.
    is_prose = name is None and not any(_says_something(line) for line in _settings(section))
    comments = _comments(section) if is_prose else section.comments
    remarks = list(_remarks(comments, {*theirs, *(b"#" + line for line in template.text)}))
    if remarks:
        old.keep(name, _kept(name, template.revision, remarks))
        old.report.append(f"{_shown(name) if name else '(header)'}: remarks kept")


def _remarks(comments: Lines, known: set[bytes]) -> Iterator[bytes]:
    """Comments that are neither the template's nor the default setting as a merge writes it."""
    in_default = False
    defaults: set[bytes] = set()
    for line in comments:
        if _DEFAULT.match(line):
            in_default = True
            defaults.clear()
            continue
        assigned = _ASSIGNED.match(line)
        is_default = in_default and assigned is not None and assigned[1] not in defaults
        if assigned:
            defaults.add(assigned[1])
        if not _says_something(line) or line in known or is_default or _is_version(line):
            continue
        yield line


def _is_version(line: bytes) -> bool:
    return line.startswith(b"##VERSION:")


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


# --- The new file -------------------------------------------------------------------------------


class _Writer:
    """Goes through the template; what stands below a section's comments is pending meanwhile."""

    def __init__(self, template: Lines, old: _Old, name: str) -> None:
        self._template = template
        self._old = old
        self._name = name.encode("utf-8", "surrogateescape")
        self._written: Lines = []
        self._report: list[str] = []
        self._keep: Lines = []
        self._blocks: list[_Block] = []
        self._previous: _Block | None = None
        self._replaces_default = False
        self._has_announced = False

    def merged(self, version: int) -> Merged:
        self._written += self._template[: version + 1]
        for line in self._template[version + 1 :]:
            if marker := _marker(line):
                self._begin(*marker)
            if _is_comment(line):
                self._written.append(line)
            else:
                self._body(line)
        self._write_keep()
        self._write_previous()
        self._write_leftovers()
        return Merged(
            b"".join(line + b"\n" for line in self._written),
            (*self._report, *self._old.report),
        )

    def _begin(self, name: bytes, revision: bytes) -> None:
        """A section ends, another one begins."""
        self._write_keep()
        self._replaces_default = self._has_announced = False
        self._blocks = self._old.blocks.pop(name, [])
        text = self._old.texts.get(name)
        if text is None:
            outcome = "new"
        elif self._old.revisions[name] == revision:
            outcome = "unchanged"
            self._keep = text
            self._replaces_default = True
        else:
            outcome = "UPDATED"
            self._write_previous()  # sysconftool loses it, if another one is still pending
            self._previous = _previous(text)
        self._report.append(f"{_shown(name)}: {outcome}")

    def _body(self, line: bytes) -> None:
        self._write_blocks()
        self._write_previous()
        if self._replaces_default and not self._has_announced:
            self._written += [b"#", b"# DEFAULT SETTING from " + self._name + b":"]
            self._has_announced = True
        self._written.append(b"#" + line if self._replaces_default else line)

    def _write_keep(self) -> None:
        self._write_blocks()
        self._written += self._keep
        self._keep = []

    def _write_blocks(self) -> None:
        for block in self._blocks:
            self._written += block.written()
        self._blocks = []

    def _write_previous(self) -> None:
        if self._previous:
            self._written += self._previous.written()
            self._previous = None

    def _write_leftovers(self) -> None:
        """What has no section any more."""
        for name, blocks in self._old.blocks.items():
            for block in blocks:
                if block.header == _PREVIOUS:
                    block = _kept(name, self._old.revisions.get(name or b"", b"0"), block.lines)
                self._written += block.written()
