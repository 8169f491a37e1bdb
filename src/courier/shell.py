"""Read Courier's settings files, which are shell scripts, as /bin/sh reads them.

Courier's start scripts source their settings files into an empty environment with `set -a`. Nearly
all of these files hold nothing but assignments, and those are read here, without a shell:

    word        = *( unquoted / "'" literal "'" / DQUOTE expanded DQUOTE )
    assignment  = name "=" word
    expansion   = "$" name / "${" name "}"          of an earlier assignment, else nothing
    comment     = "#" at the start of a word, to the end of the line

A file that holds anything else (`$(command)`, `if`, `export`, `;`, `~`, ...) is not guessed at:
then /bin/sh evaluates all the files, as Courier has it done. Such a file runs with the rights of
the process that reads it. It belongs to the administrator, like the start scripts themselves, and
must be writable by nobody else.

`tests/courier/test_shell.py` holds both ways against each other.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was found. Line 0: somewhere in the source."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Assignment:
    """The value of a variable after all files were read, and its last assignment's place."""

    value: str
    origin: Origin


class ShellError(Exception):
    """A file is no shell script: ``origin`` says where, ``reason`` why."""

    def __init__(self, origin: Origin, reason: str) -> None:
        super().__init__(f"{origin}: {reason}")
        self.origin = origin
        self.reason = reason


def read(files: Sequence[Path], preset: Mapping[str, str] | None = None) -> dict[str, Assignment]:
    """Read ``files`` in order; later assignments win and may use earlier ones.

    ``preset`` are variables that the files may use; only those they assign are returned.

    Raises:
        ShellError: a file breaks the shell's grammar, or evaluating it failed or took too long.
        OSError: a file can't be read.
    """
    texts = [(path, _text(path)) for path in files]
    preset = preset or {}
    variables = {name: Assignment(value, _PRESET) for name, value in preset.items()}
    try:
        for path, text in texts:
            _Reader(str(path), text, variables).read()
    except _NeedsShell:
        return _evaluate(texts, preset)
    return {name: found for name, found in variables.items() if found.origin is not _PRESET}


def _text(path: Path) -> str:
    data = path.read_bytes()
    for byte, reason in (
        (b"\0", "a NUL byte; this is no text file"),
        (b"\r\n", "the line ends in CR LF; write the file with LF alone"),
    ):
        if (at := data.find(byte)) >= 0:
            raise ShellError(Origin(str(path), data.count(b"\n", 0, at) + 1), reason)
    return data.decode("utf-8", "surrogateescape")


# --- Assignments, read here ---------------------------------------------------------------------

_PRESET = Origin("preset")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNED_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_BETWEEN = re.compile(r"(?:[ \t\n]+|\\\n)*(?:#[^\n]*)?")
_UNQUOTED = re.compile(r"[^ \t\n'\"\\$`~;&|<>()]+")
_LITERAL = re.compile(r"'([^']*)'")
_EXPANDED = re.compile(r'[^"\\$`]+')
_EXPANSION = re.compile(rf"\$(?:({_NAME.pattern})|\{{({_NAME.pattern})\}})")
_LONE_DOLLAR = re.compile(r"\$(?=[ \t\n]|\Z)")
_LONE_DOLLAR_IN_QUOTES = re.compile(r'\$(?=[ \t\n"])')

# Variables that a shell sets by itself, treats specially or protects; which ones depends on the
# shell that /bin/sh is.
_SHELLS_OWN = re.compile(
    r"(?:_|PATH|HOME|IFS|PS\d|PWD|OLDPWD|OPT\w+|PPID|LINENO|E?UID|GROUPS|RANDOM|SRANDOM|SECONDS"
    r"|EPOCH\w+|SHLVL|SHELL|SHELLOPTS|BASH\w*|COMP_\w+|DIRSTACK|FUNC\w+|HIST\w*|HOST\w+|MACHTYPE"
    r"|OSTYPE|PIPESTATUS|POSIXLY_CORRECT|LC_\w+|LANG|TERM|COLUMNS|LINES|MAIL|MAILCHECK|MAILPATH|ENV|CDPATH"
    r"|REPLY)\Z"
)


class _NeedsShell(Exception):
    """The file holds more than assignments of the kind read here."""


class _Reader:
    """Reads one file's assignments into ``variables``, which it also takes their values from."""

    def __init__(self, source: str, text: str, variables: dict[str, Assignment]) -> None:
        self._source = source
        self._text = text
        self._variables = variables
        self._at = 0

    def read(self) -> None:
        while self._skip_to_word():
            match = self._match(_ASSIGNED_NAME)
            if match is None or _SHELLS_OWN.match(match[1]):
                raise _NeedsShell
            origin = self._origin(match.start())
            self._variables[match[1]] = Assignment(self._word(), origin)

    def _skip_to_word(self) -> bool:
        while (match := self._match(_BETWEEN)) and match[0]:
            pass
        return self._at < len(self._text)

    def _word(self) -> str:
        """``word``: up to an unquoted blank, line feed or the end."""
        value = []
        while self._at < len(self._text) and (at := self._text[self._at]) not in " \t\n":
            if match := self._match(_UNQUOTED):
                value.append(match[0])
            elif at == "\\":
                value.append(self._escaped())
            elif at == "'":
                value.append(self._literal())
            elif at == '"':
                value.append(self._expanded())
            else:
                value.append(self._expansion(_LONE_DOLLAR))
        return "".join(value)

    def _literal(self) -> str:
        match = self._match(_LITERAL)
        if match is None:
            raise self._unterminated(self._at)
        return match[1]

    def _expanded(self) -> str:
        start = self._at
        self._at += 1
        value = []
        while self._at < len(self._text):
            at = self._text[self._at]
            if match := self._match(_EXPANDED):
                value.append(match[0])
            elif at == '"':
                self._at += 1
                return "".join(value)
            elif at == "\\":
                value.append(self._escaped(only='$`"\\'))
            else:
                value.append(self._expansion(_LONE_DOLLAR_IN_QUOTES))
        raise self._unterminated(start)

    def _escaped(self, only: str = "") -> str:
        """A backslash and what follows; in double quotes it is special before ``only`` alone."""
        escaped = self._text[self._at + 1 : self._at + 2]
        if not escaped:
            raise _NeedsShell
        self._at += 2
        if escaped == "\n":
            return ""
        return escaped if not only or escaped in only else "\\" + escaped

    def _expansion(self, lone_dollar: re.Pattern[str]) -> str:
        if self._match(lone_dollar):
            return "$"
        match = self._match(_EXPANSION)
        if match is None:
            raise _NeedsShell
        name = match[1] or match[2]
        if name in self._variables:
            return self._variables[name].value
        if _SHELLS_OWN.match(name):
            raise _NeedsShell
        return ""

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return match

    def _origin(self, at: int) -> Origin:
        return Origin(self._source, self._text.count("\n", 0, at) + 1)

    def _unterminated(self, at: int) -> ShellError:
        return ShellError(self._origin(at), f"unterminated {self._text[at]} quote")


# --- Anything else, evaluated by /bin/sh --------------------------------------------------------


def _evaluate(
    texts: Sequence[tuple[Path, str]], preset: Mapping[str, str]
) -> dict[str, Assignment]:
    from courier import shell_process  # few files need it, and no session

    try:
        environments = shell_process.environments([path for path, _ in texts], preset)
    except shell_process.Failed as failure:
        raise ShellError(Origin(failure.source, failure.line), failure.reason) from None

    found: dict[str, Assignment] = {}
    before: Mapping[str, str] = preset
    for (path, text), after in zip(texts, environments, strict=True):
        lines = _assigning_lines(text)
        for name in after:
            if name in lines or after[name] != before.get(name):
                found[name] = Assignment(after[name], Origin(str(path), lines.get(name, 0)))
        found = {name: found[name] for name in found if name in after}
        before = after
    return found


def _assigning_lines(text: str) -> dict[str, int]:
    """The last line on which each name is followed by `=`: a guess, for messages alone."""
    return {
        match[1]: number
        for number, line in enumerate(text.split("\n"), 1)
        if not line.lstrip().startswith("#")
        for match in re.finditer(rf"(?<!\w)({_NAME.pattern})=", line)
    }
