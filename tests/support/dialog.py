r"""Dialogs: conversations written down once and held with our server and with real Courier.

A dialog is a text file in UTF-8. Each of its lines is one of these:

    # text               comment; a blank line means nothing
    C: text              the client sends this line
    C~ text              the client sends exactly these octets, escapes as in Python, without a line end
    S: text              the server sends exactly this line
    S~ pattern           … a line that matches this regular expression from end to end; what a named group
                         ``(?P<name>…)`` matched replaces ``$(name)`` in later lines; ``$(root)`` is the
                         directory above the first account's maildir
    S* text              … this line; adjacent S* lines may come in any order
    S...                 … any number of lines, up to one that the next S line describes

Lines are the wire's (they end in CRLF, or in LF with SMAP): a literal is read as the lines it consists of. Before the first C or S line, or
between them, stand directives:

    setting: NAME=VALUE  environment of sessions that start later; ``NAME`` alone removes it
    folder: MAILBOX      make a folder in the maildir
    message: NAME        the lines that follow, each after ``| ``, are a message (LF line ends)
    deliver: MAILBOX NAME [flags=LETTERS] [date=SECONDS]
                         put a message (of the dialog or of support/messages.py) into new/, or into cur/
                         with these flags; date is its modification time
    remove: GLOB         remove files of the maildir, as another program would
    account: NAME [OPTIONS]
                         another account, with a maildir of its own: the maildir meant from here on, and
                         the account of sessions that start later; ``account:`` alone is the first one again
    index: FILE NAME=ACCOUNT… GROUP*=FILE…
                         an index of shared accounts; the one called ``index`` is that of the settings
    session: NAME        the following lines belong to this connection, opened at its first line; until
                         this directive that is the one called ``1``
    setup: COMMAND       run a command that has to be completed with OK; what it says does not matter
    no: TAG CODE TEXT    the completion of a command that is refused: TAG NO TEXT, from ours with this response
                         code (RFC 5530), of which Courier knows none
    refused: TAG         the completion of a line that is no valid command: TAG BAD from ours (RFC 9051
                         7.1.3), TAG NO from Courier; TAG may be ``*``
    closed:              the server closes this connection, having said nothing more
    file: PATH TEXT      write a file of the maildir; escapes as in C~
    program: PATH TEXT   … that can be run
    content: PATH TEXT   it has exactly this content
    exists: GLOB         a file of the maildir matches
    missing: GLOB        none does
    only: ours REASON    the dialog is not held with the other server

Where the two differ on purpose, lines say ``ours`` or ``courier`` before anything else, and the comment before
them gives the reason, which doc/differences.md has, too (``As above`` refers to one that was given):

    # RFC 3501 9: seq-number is nz-number.
    ours S: a1 BAD Invalid message sequence number.
    courier S: a1 OK FETCH completed.

At the end every connection is closed by the client; the server must have nothing left to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support import messages
from tests.support.client import Closed, Refused, Silence
from tests.support.maildirs import deliver, folder_path, make_folder, make_maildir
from tests.support.servers import Implementation, Server

SERVERS = ("ours", "courier")
LINE = re.compile(
    r"(?:(?P<only>ours|courier) +)?"
    r"(?P<kind>C:|C~|S:|S~|S\*|S\.\.\.|[a-z]+:|\|)(?: (?P<text>.*))?"
)
_DIRECTIVES = {
    *("setting:", "folder:", "message:", "deliver:", "remove:", "session:", "setup:", "refused:"),
    "no:",
    *("closed:", "exists:", "missing:", "file:", "program:", "content:", "account:", "index:"),
}
_INVALID = {
    "ours": "BAD Error in IMAP command received by server.",
    "courier": "NO Error in IMAP command received by server.",
}


class Malformed(Exception):
    """The dialog itself is wrong."""


class Mismatch(AssertionError):
    """The server said something else."""


@dataclass(frozen=True)
class Step:
    """One line of a dialog."""

    number: int
    kind: str
    text: str
    only: str | None = None


@dataclass(frozen=True)
class Dialog:
    """A parsed dialog."""

    name: str
    steps: tuple[Step, ...]
    messages: Mapping[str, bytes]
    only: str | None

    def is_for(self, server: str) -> bool:
        return self.only in (None, server)


def load(path: Path) -> Dialog:
    """Read a dialog file.

    Raises:
        Malformed: a line has no meaning, or a difference is not explained.
    """
    return parse(path.read_text(encoding="utf-8"), path.stem)


def parse(text: str, name: str) -> Dialog:
    """Parse the text of a dialog; see `load`."""
    steps: list[Step] = []
    written: dict[str, bytes] = {}
    only: str | None = None
    explained = False
    message: str | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            explained = line.startswith("#")
            continue
        match = LINE.fullmatch(line)
        if match is None:
            raise Malformed(f"{name}:{number}: {line}")
        step = Step(number, match["kind"], match["text"] or "", match["only"])
        if step.only and not explained:
            raise Malformed(f"{name}:{number}: no comment says why the servers differ")
        explained = explained and step.only is not None
        if step.kind == "|":
            if message is None:
                raise Malformed(f"{name}:{number}: outside a message")
            written[message] += step.text.encode() + b"\n"
            continue
        message = step.text if step.kind == "message:" else None
        if message is not None:
            written[message] = b""
        elif step.kind == "only:":
            server, _, reason = step.text.partition(" ")
            if server not in SERVERS or not reason:
                raise Malformed(f"{name}:{number}: only: SERVER REASON")
            only = server
        elif step.kind.endswith(":") and step.kind not in {"C:", "S:", *_DIRECTIVES}:
            raise Malformed(f"{name}:{number}: unknown directive {step.kind}")
        else:
            steps.append(step)
    return Dialog(name, tuple(steps), written, only)


class Conversation:
    """Holds one dialog with one server."""

    def __init__(
        self,
        dialog: Dialog,
        implementation: Implementation,
        maildir: Path,
        start: Callable[..., Server],
    ) -> None:
        self._dialog = dialog
        self._implementation = implementation
        self._maildir = self._first = maildir
        self._start = start
        self._settings: dict[str, str] = {}
        self._removed: set[str] = set()
        self._servers: dict[str, Server] = {}
        self._session = "1"
        self._kept: dict[str, str] = {"root": str(maildir.parent)}
        self._delivered = 0
        self._transcript: list[str] = []

    def hold(self) -> None:
        """Go through the dialog.

        Raises:
            Mismatch: the server departs from it; the message shows where, and the conversation so far.
        """
        steps = [s for s in self._dialog.steps if s.only in (None, self._implementation.name)]
        at = 0
        while at < len(steps):
            step = steps[at]
            size = 1
            try:
                if step.kind == "S*":
                    size = _run_length(steps, at)
                    self._expect_any_order(steps[at : at + size])
                elif step.kind == "S...":
                    size = 2
                    self._skip_to(steps[at + 1])
                else:
                    self._do(step)
            except (Closed, Refused, Silence, OSError, AssertionError) as error:
                raise Mismatch(self._report(step, error)) from error
            at += size
        for name, server in self._servers.items():
            rest = server.finish()
            if rest:
                raise Mismatch(f"{self._dialog.name}: session {name} ends with {rest!r}")

    def _do(self, step: Step) -> None:
        text = self._fill(step.text)
        match step.kind:
            case "C:":
                self._send(text.encode() + self._implementation.line_end)
            case "C~":
                self._send(_unescape(text))
            case "S:" | "S~":
                self._expect(step)
            case "refused:":
                wanted = f"{text} {_INVALID[self._implementation.name]}"
                line = self._line()
                assert line == wanted, f"expected {wanted!r}, got {line!r}"
            case "no:":
                tag, code, reason = text.split(" ", 2)
                coded = f"[{code}] " if self._implementation.name == "ours" else ""
                wanted = f"{tag} NO {coded}{reason}"
                line = self._line()
                assert line == wanted, f"expected {wanted!r}, got {line!r}"
            case "setup:":
                self._server().client.command(text)
            case "session:":
                self._session = text
            case "setting:":
                self._set(text)
            case "folder:":
                make_folder(self._maildir, text)
            case "deliver:":
                self._deliver(text)
            case "remove:":
                found = list(self._maildir.glob(text))
                assert found, f"nothing matches {text}"
                for path in found:
                    path.unlink()
            case "file:" | "program:" | "content:":
                path, _, content = text.partition(" ")
                if step.kind != "content:":
                    (self._maildir / path).write_bytes(_unescape(content))
                    if step.kind == "program:":
                        (self._maildir / path).chmod(0o755)
                else:
                    found_content = (self._maildir / path).read_bytes()
                    assert found_content == _unescape(content), found_content
            case "account:":
                self._account(text)
            case "index:":
                self._index(text)
            case "exists:":
                assert list(self._maildir.glob(text)), f"nothing matches {text}"
            case "missing:":
                assert not list(self._maildir.glob(text)), f"something matches {text}"
            case "closed:":
                rest = self._server().client.connection.rest()
                assert rest == b"", f"before the end came {rest!r}"

    def _server(self) -> Server:
        server = self._servers.get(self._session)
        if server is None:
            server = self._start(
                self._implementation, {**self._settings}, self._maildir, unset=self._removed
            )
            self._servers[self._session] = server
        return server

    def _send(self, data: bytes) -> None:
        self._transcript.append(f"C[{self._session}]: {data!r}")
        self._server().client.connection.send(data)

    def _line(self) -> str:
        raw = self._server().client.connection.line()
        end = self._implementation.line_end
        assert raw.endswith(end), f"no line end: {raw!r}"
        line = raw.removesuffix(end).decode("utf-8", "surrogateescape")
        self._transcript.append(f"S[{self._session}]: {line}")
        return line

    def _expect(self, step: Step) -> None:
        line = self._line()
        assert self._matches(step, line), f"expected {self._fill(step.text)!r}, got {line!r}"

    def _matches(self, step: Step, line: str) -> bool:
        if step.kind != "S~":
            return line == self._fill(step.text)
        match = re.fullmatch(self._fill(step.text), line)
        if match:
            self._kept.update(match.groupdict())
        return match is not None

    def _expect_any_order(self, steps: list[Step]) -> None:
        wanted = sorted(self._fill(step.text) for step in steps)
        lines = sorted(self._line() for _ in steps)
        assert lines == wanted, f"expected in any order {wanted}, got {lines}"

    def _skip_to(self, step: Step) -> None:
        while not self._matches(step, self._line()):
            pass

    def _set(self, text: str) -> None:
        name, assigned, value = text.partition("=")
        self._removed.discard(name)
        if assigned:
            self._settings[name] = value
        else:
            self._settings.pop(name, None)
            self._removed.add(name)

    def _account(self, text: str) -> None:
        name, _, options = text.partition(" ")
        self._set(f"AUTHENTICATED={name}" if name else "AUTHENTICATED")
        self._set(f"OPTIONS={options}")
        self._maildir = self._first.parent / name / "Maildir" if name else self._first
        if not self._maildir.exists():
            make_maildir(self._maildir)

    def _index(self, text: str) -> None:
        root = self._first.parent
        file, *records = text.split()
        lines = []
        for record in records:
            name, _, target = record.rpartition("=")
            home = root / target if target != "first" else root
            group = name.endswith("*")
            lines.append(
                f"{name[:-1]}\t*\t{target}\n" if group else f"{name}\t1000\t1000\t{home}\n"
            )
        (root / file).write_text("".join(lines), encoding="utf-8")
        if file == "index":
            self._set(f"IMAP_SHAREDINDEXFILE={root / file}")

    def _deliver(self, text: str) -> None:
        mailbox, name, *options = text.split()
        given = dict(option.split("=", 1) for option in options)
        self._delivered += 1
        message = self._dialog.messages.get(name) or messages.CATALOGUE[name]
        deliver(
            folder_path(self._maildir, mailbox),
            message,
            number=self._delivered,
            flags=given.get("flags"),
            date=int(given["date"]) if "date" in given else None,
        )

    def _fill(self, text: str) -> str:
        return re.sub(r"\$\((\w+)\)", lambda match: self._kept[match[1]], text)

    def _report(self, step: Step, error: BaseException) -> str:
        conversation = "\n".join(self._transcript[-30:])
        return (
            f"{self._dialog.name}.dialog:{step.number}, {self._implementation.name}: "
            f"{step.kind} {step.text}\n{type(error).__name__}: {error}\n{conversation}"
        )


def _run_length(steps: list[Step], at: int) -> int:
    length = 0
    while at + length < len(steps) and steps[at + length].kind == "S*":
        length += 1
    return length


def _unescape(text: str) -> bytes:
    def octet(match: re.Match[str]) -> str:
        names = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\", "0": "\0"}
        code = match[1]
        return chr(int(code[1:], 16)) if code[0] == "x" else names[code]

    return re.sub(r"\\(x[0-9a-fA-F]{2}|[rnt\\0])", octet, text).encode("latin-1")


def all_dialogs(folder: Path) -> Iterator[Dialog]:
    """Read every dialog of a folder, sorted by name."""
    for path in sorted(folder.glob("*.dialog")):
        yield load(path)
