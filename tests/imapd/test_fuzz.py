"""Conversations of random and damaged commands. More of them: FUZZ_ROUNDS=1000 pytest …"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.imapd.conftest import Log
from tests.imapd.driver import Driven
from tests.imapd.responses import Response, read
from tests.support.maildirs import deliver, make_folder, message_files, uid_database

pytestmark = pytest.mark.usefixtures("logged")

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "4"))
COMMANDS = 150

_ANNOUNCED = re.compile(rb"\{0*([0-9]{1,5})\}\r\n\Z")
_PROMPT = re.compile(rb"\+ entering (?:ENHANCED )?idle mode\r\n(?:\* [^\r\n]*\r\n)*\Z")

#: Why a session may end here: its own violations, and what the other one did to its mailbox.
_REASONS = (b"TOO MANY CONSECUTIVE", b"was removed", b"renumbered")

ALGORITHMS = [b"REFERENCES", b"ORDEREDSUBJECT"]
#: A message with much in it that has to be quoted.
NESTED = (
    b'From: "A \\"B\\" \\\\" <a@example.com>, =?utf-8?q?J=C3=B6rg?= <j@example.net>\n'
    b"To: undisclosed-recipients:;\nSubject: =?utf-8?b?4pi6?= \xe9 \x00 {5}\n folded\n"
    b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b\\"b"\n\n'
    b'--b"b\nContent-Type: text/plain; charset="utf-8"; name*=utf-8\'\'%e2%98%ba\n\ntext\n'
    b'--b"b\nContent-Type: message/rfc822\n\nSubject: inner\nDate: x\n\nbody\n--b"b--\n'
)
PLAIN = b"Subject: hello\n\nbody\n"


class Words:
    """Random arguments, mostly right, often odd."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.pick = chance.choice

    def astring(self, text: bytes) -> bytes:
        kind = self.chance.randrange(6)
        if kind == 0:
            return b"{%d+}\r\n%b" % (len(text), text)
        if kind == 1:
            return b"~{%d+}\r\n%b" % (len(text), text)
        if kind < 4 or not re.fullmatch(rb"[A-Za-z0-9.#&+,-]+", text):
            return b'"' + re.sub(rb'(["\\])', rb"\\\1", text).replace(b"\n", b"") + b'"'
        return text

    def mailbox(self) -> bytes:
        names = [b"INBOX", b"inbox", b"INBOX.a", b"INBOX.a.b", b"INBOX.caf&AOk-", b"INBOX.none"]
        odd = [
            b"",
            b"x",
            b"INBOX.",
            b"INBOX..",
            b"INBOX.a/b",
            b"#shared.x",
            b"shared.y",
            b"&",
            b"\xff",
        ]
        odd += [b"INBOX.&AAo-", b"INBOX.&2D0-", b"INBOX.a ]b{5}", b'INBOX."\\', b"INBOX.Trash"]
        return self.astring(self.pick(names * 4 + odd))

    def numbers(self) -> bytes:
        if self.chance.random() < 0.1:
            return b"$"
        ends = [b"1", b"1", b"1", b"2", b"2", b"3", b"*", b"*", b"*", b"9:*"]
        if self.chance.random() < 0.05:
            ends = [b"0", b"", b"99999999999", b"a"]
        parts = [self.pick(ends) for _ in range(self.chance.randint(1, 3))]
        joined = parts[0]
        for part in parts[1:]:
            joined += self.pick([b":", b","]) + part
        return b"1:*" if re.search(rb":[0-9*]+:", joined) else joined

    def some(self, words: list[bytes], most: int = 3) -> bytes:
        return b" ".join(self.pick(words) for _ in range(self.chance.randint(1, most)))

    def flags(self) -> bytes:
        words = [b"\\Seen", b"\\Deleted", b"\\Flagged", b"\\answered", b"\\Draft", b"kw", b"$X"]
        words += [b"KW", b"a/b", b"123"] + [b"\\Recent"] * (self.chance.random() < 0.1)
        return b"(" + (self.some(words) if self.chance.random() < 0.9 else b"") + b")"

    def items(self) -> bytes:
        words = [b"FLAGS", b"UID", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODYSTRUCTURE"]
        words += [b"BODY", b"RFC822", b"RFC822.HEADER", b"RFC822.TEXT", b"BODY[]", b"BODY.PEEK[1]"]
        words += [b"BODY.PEEK[2.HEADER]<3.9>", b"BODY[2.1.MIME]", b"BODY.PEEK [TEXT]<4294967295>"]
        words += [b"BODY.PEEK[HEADER.FIELDS (To " + self.astring(b'a"]\\b') + b")]", b"FULL"]
        words += [b"BODY.PEEK[HEADER.FIELDS.NOT (Subject)]", b"MODSEQ"]
        words += [b"BINARY.PEEK[1]", b"BINARY.SIZE[2]", b"BINARY[]<2.9>", b"BINARY.PEEK[2.1]"]
        return b"(" + self.some(words) + b")"

    def modifiers(self) -> bytes:
        odd = [b" (CHANGEDSINCE 1)", b" (CHANGEDSINCE 1 VANISHED)", b" (CHANGEDSINCE)"]
        odd += [b" (PARTIAL 1:2)", b" (PARTIAL -1:-1 CHANGEDSINCE 1)"]
        return self.pick([*(b"",) * 12, *odd])

    def keys(self, depth: int = 0) -> bytes:
        words: list[Callable[[], bytes]] = [
            lambda: self.pick([b"ALL", b"SEEN", b"UNSEEN", b"NEW", b"RECENT", b"DELETED", b"OLD"]),
            self.numbers,
            lambda: b"UID " + self.numbers(),
            lambda: b"KEYWORD kw",
            lambda: b"FILTER " + self.pick([b"f", b"g", b"nosuch"]),
            lambda: b"MODSEQ " + self.pick([b"0", b"1%d" % 10**17, b'"/flags/\\\\seen" all 5']),
            lambda: self.pick([b"BEFORE", b"ON", b"SENTSINCE"]) + b" 1-Feb-2020",
            lambda: self.pick([b"LARGER", b"SMALLER"]) + b" 40",
            lambda: (
                self.pick([b"SUBJECT", b"TEXT", b"BODY", b"FROM"])
                + b" "
                + self.astring(self.pick([b"hello", b"", b"\xe2\x98\xba", b"{5}", b"\xff\x00"]))
            ),
            lambda: b"HEADER " + self.astring(b"to") + b" " + self.astring(b"x"),
        ]
        if depth < 3:
            words += [
                lambda: b"NOT " + self.keys(depth + 1),
                lambda: b"OR " + self.keys(depth + 1) + b" " + self.keys(depth + 1),
                lambda: b"(" + self.keys(depth + 1) + b" " + self.keys(depth + 1) + b")",
            ]
        return self.pick(words)()

    def result(self) -> bytes:
        options = [b"ALL", b"MIN", b"MAX", b"COUNT", b"SAVE", b"UPDATE", b"UPDATE", b"CONTEXT"]
        options += [b"PARTIAL 1:2", b"PARTIAL -2:-1", b"PARTIAL 3:1"]
        return b"" if self.chance.random() < 0.5 else b"RETURN (" + self.some(options) + b") "

    def sources(self) -> bytes:
        words = [b"personal", b"inboxes", b"selected", b"subscribed", b"subtree INBOX", b"x"]
        words += [b"mailboxes (INBOX " + self.mailbox() + b")", b"subtree-one " + self.mailbox()]
        return self.pick([b"", b"IN (" + self.some(words) + b") "])

    def filters(self) -> bytes:
        value = self.keys()
        entry = b"/private/filters/values/" + self.pick([b"f", b"g"])
        return b'SETMETADATA "" (%b {%d+}\r\n%b)' % (entry, len(value), value)

    def sort_keys(self) -> bytes:
        words = [b"ARRIVAL", b"DATE", b"FROM", b"REVERSE SUBJECT", b"REVERSE SIZE", b"DISPLAYTO"]
        return b"(" + self.some(words) + b") " + self.pick([b"utf-8", b"US-ASCII"])

    def message(self) -> bytes:
        text = self.pick([b"", b"x", PLAIN.replace(b"\n", b"\r\n"), NESTED, b"x" * 20_000])
        mark = self.pick([*(b"",) * 5, b"~"])
        return b"%b{%d%b}\r\n%b" % (mark, len(text), self.pick([b"+", b"+", b"+"]), text)

    def parts(self) -> bytes:
        sections = [b"", b"/;SECTION=1", b"/;SECTION=HEADER", b"/;SECTION=9", b"/;PARTIAL=1.5"]
        url = b"URL /INBOX/;UID=%d" % self.chance.randrange(4) + self.pick(sections)
        return self.pick([url, b"TEXT " + self.message(), url + b" TEXT " + self.message(), b"x"])

    def acl(self) -> bytes:
        who = self.astring(
            self.pick([b"anyone", b"alice", b"-bob", b"group=x", b"a b", b"\xe9", b""])
        )
        rights = self.pick([b"lr", b"+s", b"-l", b"acdilrsw", b'""', b"k", b"z", b"p"])
        return self.pick(
            [
                lambda: b"SETACL " + self.mailbox() + b" " + who + b" " + rights,
                lambda: b"DELETEACL " + self.mailbox() + b" " + who,
                lambda: b"LISTRIGHTS " + self.mailbox() + b" " + who,
                lambda: self.pick([b"GETACL ", b"MYRIGHTS "]) + self.mailbox(),
                lambda: b"ACL STORE (INBOX.* " + self.mailbox() + b") " + who + b" " + rights,
                lambda: b"ACL DELETE " + self.mailbox() + b" " + who,
                lambda: b'LIST (ACL MYRIGHTS POSTADDRESS) "" ' + self.pick([b"*", b"#shared.*"]),
            ]
        )()

    def listed(self) -> bytes:
        selection = [b"SUBSCRIBED", b"SUBSCRIBED RECURSIVEMATCH", b"REMOTE", b"SPECIAL-USE", b"ACL"]
        returns = [b"SUBSCRIBED", b"CHILDREN", b"SPECIAL-USE", b"MYRIGHTS", b"FOO"]
        returns += [b"STATUS (MESSAGES SIZE)", b"METADATA (/private/x /private/specialuse)"]
        patterns = [b"*", b"%", b'""', b"inbox.%", b"#shared.*", b"INBOX.a", b"{3+}\r\n*%*"]
        line = b"LIST " + self.pick([b"", b"", b"(" + self.some(selection) + b") "])
        line += self.pick([b'""', b'""', b"INBOX"]) + b" (" + self.some(patterns) + b")"
        return line + self.pick([b"", b" RETURN (" + self.some(returns, 4) + b")"])

    def metadata(self) -> bytes:
        mailbox = self.pick([self.mailbox(), b'""', b"INBOX"])
        names = [
            b"/private/x",
            b"/shared/x",
            b"/private/x/y",
            b"/Private/X",
            b"/private/specialuse",
        ]
        entries = b"(" + self.some([*names, b"/shared", b"/x", b'"/private/ x"']) + b")"
        texts = [b"NIL", b'""', b'"\\\\Sent"', b"{2+}\r\n\xff\xfe", b"~{2+}\r\n\x00\xff"]
        pairs = (self.pick(names) + b" " + self.pick(texts) for _ in range(3))
        options = self.pick([b"", b"", b"(MAXSIZE 2) ", b"(DEPTH infinity) ", b"(DEPTH 1 X 1) "])
        use = self.pick([b"(\\Sent)", b"(\\Drafts \\junk)", b"(\\All)", b"()", b"(x)"])
        return self.pick(
            [
                b"GETMETADATA " + options + mailbox + b" " + entries,
                b"GETMETADATA " + mailbox + b" " + options + entries,
                b"SETMETADATA " + mailbox + b" (" + b" ".join(pairs) + b")",
                b"CREATE " + self.mailbox() + b" (USE " + use + b")",
            ]
        )

    def command(self) -> bytes:
        by_uid = self.pick([b"", b"UID "])
        return self.pick(
            [
                lambda: b"STORE 1:2 +FLAGS.SILENT (\\Deleted)",
                lambda: self.pick([b"NOOP", b"CHECK", b"CAPABILITY", b"NAMESPACE", b"IDLE"]),
                lambda: (
                    self.pick([b"SELECT ", b"SELECT ", b"EXAMINE "])
                    + self.mailbox()
                    + self.pick([*(b"",) * 6, b" (CONDSTORE)", b" (QRESYNC (1 1))"])
                ),
                lambda: self.pick([b"CLOSE", b"UNSELECT", *(b"EXPUNGE",) * 4, b"UID EXPUNGE 1:3"]),
                lambda: (
                    self.pick([b"CREATE ", b"DELETE ", b"SUBSCRIBE ", b"UNSUBSCRIBE "])
                    + self.mailbox()
                ),
                lambda: b"RENAME " + self.mailbox() + b" " + self.mailbox(),
                self.acl,
                lambda: (
                    self.pick([b"LIST ", b"LSUB "])
                    + self.pick([b'""', b"INBOX", b"#shared.", b'"x"'])
                    + b" "
                    + self.pick([b"*", b"%", b'"inbox.%"', b'""', b"INBOX.c*", b"{3+}\r\n*%*"])
                ),
                lambda: b"STATUS " + self.mailbox() + b" (MESSAGES UIDNEXT UNSEEN RECENT)",
                lambda: b"STATUS " + self.mailbox() + b" (HIGHESTMODSEQ SIZE)",
                self.listed,
                self.metadata,
                lambda: b"APPEND " + self.mailbox() + b" " + self.flags() + b" " + self.message(),
                lambda: b"APPEND INBOX " + self.message(),
                lambda: b"APPEND INBOX " + self.message() + b" kw (kw) " + self.message(),
                lambda: b"APPEND INBOX " + self.message() + b" (kw) " + self.message(),
                lambda: b"APPEND INBOX CATENATE (" + self.parts() + b")",
                lambda: by_uid + b"REPLACE 1 " + self.mailbox() + b" " + self.message(),
                lambda: (
                    by_uid + b"FETCH " + self.numbers() + b" " + self.items() + self.modifiers()
                ),
                lambda: (
                    by_uid
                    + b"STORE "
                    + self.numbers()
                    + b" "
                    + self.pick(
                        [*(b"",) * 6, b"(UNCHANGEDSINCE 0) ", b"(UNCHANGEDSINCE 1%d) " % 10**17]
                    )
                    + self.pick([b"", b"+", b"-"])
                    + self.pick([b"FLAGS ", b"FLAGS.SILENT "])
                    + self.flags()
                ),
                lambda: by_uid + b"SEARCH " + self.result() + self.keys(),
                lambda: b"ESEARCH " + self.sources() + self.result() + self.keys(),
                self.filters,
                lambda: self.pick([b"UIDBATCHES 500", b"UIDBATCHES 600 1:2", b'CANCELUPDATE "a1"']),
                lambda: by_uid + b"SORT " + self.result() + self.sort_keys() + b" " + self.keys(),
                lambda: by_uid + b"THREAD " + self.pick(ALGORITHMS) + b" utf-8 " + self.keys(),
                lambda: (
                    by_uid
                    + self.pick([b"COPY ", b"MOVE "])
                    + self.numbers()
                    + b" "
                    + self.mailbox()
                ),
                lambda: b"ID " + self.pick([b"NIL", b'("a" "b\\"")', b"(x)"]),
                lambda: b"ENABLE " + self.pick([b"UTF8=ACCEPT", b"X", b"CONDSTORE", b"IMAP4rev2"]),
            ]
        )()

    def damaged(self, text: bytes) -> bytes:
        """Change a few octets, but no line end, and none of those that count octets."""
        octets = bytearray(text)
        for _ in range(self.chance.randint(1, 3)):
            at = self.chance.randrange(len(octets)) if octets else 0
            line = bytes(octets[octets.rfind(b"\n", 0, at) + 1 :]).partition(b"\n")[0]
            if not octets or octets[at] in b"\r\n{}+~0123456789" or b"{" in line:
                continue
            new = self.pick(b'() "\\[]<>.,:*%&~\x00\x01\x7f\x80\xff\tAZ09-')
            gone, come = self.pick([(1, 1), (1, 0), (0, 1)] if b"{" not in text else [(1, 1)])
            octets[at : at + gone] = bytes([new]) * come
        return bytes(octets)


class Picture:
    """What a client knows of its mailbox from responses alone."""

    def __init__(self) -> None:
        self.uids: list[int | None] = []
        self.flags: list[frozenset[bytes] | None] = []

    def take(self, response: Response, *, selects: bool) -> None:
        seq = response.number
        if response.name == "EXISTS":
            if selects:
                self.__init__()  # type: ignore[misc]
            assert seq >= len(self.uids), "fewer messages without EXPUNGE"
            self.uids += [None] * (seq - len(self.uids))
            self.flags += [None] * (seq - len(self.flags))
        elif response.name == "RECENT":
            assert seq <= len(self.uids)
        elif response.name == "EXPUNGE":
            assert seq <= len(self.uids), "EXPUNGE of a message that is not there"
            del self.uids[seq - 1], self.flags[seq - 1]
        elif response.name == "FETCH":
            assert seq <= len(self.uids), "FETCH of a message that is not there"
            values = dict(response.values)  # type: ignore[arg-type]
            uid = values.get(b"UID")
            assert uid is None or self.uids[seq - 1] in (None, uid), "a number has changed its UID"
            self.uids[seq - 1] = uid or self.uids[seq - 1]
            if b"FLAGS" in values:
                self.flags[seq - 1] = frozenset(values[b"FLAGS"]) - {b"\\Recent"}


class Fuzzed:
    """A client of random commands that checks all it gets."""

    def __init__(self, maildir: Path, words: Words, name: bytes) -> None:
        self.maildir = maildir
        self.words = words
        self.name = name
        self.number = 0
        self.begin()

    def begin(self) -> None:
        self.driven = Driven(self.maildir)
        self.picture = Picture()

    def command(self, text: bytes) -> list[Response]:
        """Send a command and all that it is asked for; check that it is answered once."""
        if self.driven.ended:
            self.begin()
        self.number += 1
        tag = b"%b%d" % (self.name, self.number)
        sent = tag + b" " + text + b"\r\n"
        got = self.driven.send(*self.cut(sent))
        for _ in range(5):
            announced = _ANNOUNCED.search(sent)
            if _PROMPT.search(got):
                sent = b"DONE\r\n"
            elif got.endswith(b"+ OK\r\n") and announced is not None:
                sent = b"x" * int(announced[1]) + b"\r\n"
            else:
                break
            got += self.driven.send(*self.cut(sent))
        responses = read(got)
        self.check(responses, tag, text)
        return responses

    def cut(self, data: bytes) -> list[bytes]:
        """Cut what is sent as a network might."""
        if len(data) > 5000 or self.words.chance.random() < 0.5:
            return [data]
        places = sorted(self.words.chance.sample(range(1, len(data)), min(2, len(data) - 1)))
        return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]

    def check(self, responses: list[Response], tag: bytes, text: bytes) -> None:
        tagged = [response.tag for response in responses if response.is_tagged]
        if self.driven.ended:
            (bye,) = [response for response in responses if response.name == "BYE"]
            assert any(reason in bye.raw for reason in _REASONS), (text, bye)
            assert tagged in ([], [tag]), (text, responses)
            return
        assert tagged == [tag], (text, responses)
        assert responses[-1].tag == tag, (text, responses)
        word = text.split(b" ")[0].upper()
        if word in (b"FETCH", b"STORE", b"SEARCH", b"SORT", b"THREAD"):  # RFC 9051 7.5.1
            assert "EXPUNGE" not in [response.name for response in responses], text
        if self.driven.session.rev2:  # RFC 9051 appendix E 4, 12
            told = [response.name for response in responses]
            assert "RECENT" not in told and "SEARCH" not in told, (text, responses)
        for response in responses:
            self.picture.take(response, selects=word in (b"SELECT", b"EXAMINE"))
        if b".SILENT" in text.upper():
            self.picture.flags = [None] * len(self.picture.flags)
        view = self.driven.session.view
        if view is not None:
            assert len(view.uids) == len(self.picture.uids), (text, responses)

    def agree(self) -> None:
        """What the client has put together is what the server and the disk have."""
        if self.driven.session.view is None or self.driven.ended:
            self.command(b"SELECT INBOX")
        self.command(b"NOOP")
        uids, flags = list(self.picture.uids), list(self.picture.flags)
        if not uids:
            return
        self.command(b"FETCH 1:* (UID FLAGS)")
        told = [uid for uid in self.picture.uids if uid is not None]
        assert told == sorted(set(told))
        assert len(told) == len(uids)
        for before, now in zip(
            (*uids, *flags), (*self.picture.uids, *self.picture.flags), strict=True
        ):
            assert before is None or before == now


def filled(root: Path) -> Path:
    maildir = root / "Fuzzed"
    for name in ("tmp", "new", "cur"):
        (maildir / name).mkdir(parents=True)
    make_folder(maildir, "INBOX.a")
    for number, message in enumerate((PLAIN, NESTED, PLAIN, NESTED)):
        deliver(maildir, message, number=number, flags=None if number > 2 else "S")
    return maildir


def check_disk(maildir: Path) -> None:
    """No folder has anything in tmp/; every file has one UID, and every UID a file."""
    for cur in maildir.rglob("cur"):
        folder = cur.parent
        assert list((folder / "tmp").iterdir()) == [], folder
        reader = Driven(maildir)
        name = ("INBOX" + folder.name) if folder != maildir else "INBOX"
        quoted = re.sub(r'(["\\])', r"\\\1", name).encode()
        told = read(reader.send(b'x ENABLE UTF8=ACCEPT\r\nx SELECT "%b"\r\n' % quoted))
        assert told[-1].name == "OK", told
        assert sorted(uid_database(folder).uids) == sorted(message_files(folder))
        (exists,) = [response.number for response in told if response.name == "EXISTS"]
        assert exists == len(message_files(folder))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_damaged_commands(tmp_path: Path, logged: Log, seed: int) -> None:
    """Each is answered once, in good syntax; two sessions and the disk agree at the end."""
    chance = random.Random(seed)
    words = Words(chance)
    maildir = filled(tmp_path)
    clients = [Fuzzed(maildir, words, b"a"), Fuzzed(maildir, words, b"b")]
    for client in clients:
        client.command(b"SELECT INBOX")

    for _ in range(COMMANDS):
        text = words.command()
        if chance.random() < 0.2:
            text = words.damaged(text)
        client = chance.choice(clients)
        if client.driven.session.view is None and chance.random() < 0.7:
            client.command(b"SELECT INBOX")
        client.command(text)
    for client in clients:
        client.agree()

    check_disk(maildir)
    assert not [line for line in logged.lines if "internal error" in line]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_pipelined_commands(tmp_path: Path, seed: int) -> None:
    """A whole conversation in one stream, cut anywhere: every tag is answered once, in order."""
    chance = random.Random(1000 + seed)
    words = Words(chance)
    texts: list[bytes] = []
    while len(texts) < COMMANDS:
        text = words.command()
        if not text.startswith((b"IDLE", b"ID ", b"ENABLE")):
            texts += [text] if chance.random() < 0.8 else [b"SELECT INBOX", text]
    # A command that is always understood follows each, so that violations never add up.
    stream = b"".join(b"a%d %b\r\nb%d NOOP\r\n" % (n, text, n) for n, text in enumerate(texts))
    places = sorted(chance.sample(range(1, len(stream)), 300))
    pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    maildir = filled(tmp_path)

    responses = read(Driven(maildir).send(*pieces))

    tags = [response.tag for response in responses if response.is_tagged]
    assert tags == [b"%b%d" % (name, n) for n in range(len(texts)) for name in (b"a", b"b")]
    check_disk(maildir)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_noise(tmp_path: Path, logged: Log, seed: int) -> None:
    """Streams cut, doubled and damaged without regard: good syntax, no internal error, no litter."""
    chance = random.Random(2000 + seed)
    words = Words(chance)
    maildir = filled(tmp_path)
    for _ in range(COMMANDS // 3):
        stream = bytearray(
            b"s SELECT INBOX\r\n" + b"".join(b"a%d %b\r\n" % (n, words.command()) for n in range(6))
        )
        for _ in range(chance.randint(1, 12)):
            at = chance.randrange(len(stream))
            piece = stream[at : at + chance.randint(0, 12)]
            noise = bytes(
                chance.choices(b'\r\n{}+~ ()"\\*0123456789\x00\xff', k=chance.randint(0, 5))
            )
            stream[at : at + chance.randint(0, 8)] = noise + piece * chance.randint(0, 2)
        driven = Driven(maildir)
        size = chance.choice([1, 7, 100, 5000])
        try:
            driven.send(*(bytes(stream[at : at + size]) for at in range(0, len(stream), size)))
            if not driven.ended:
                driven.close()
            read(driven.output)
        except BaseException:
            print(bytes(stream))  # what pytest shows of a failure
            raise

    check_disk(maildir)
    assert not [line for line in logged.lines if "internal error" in line]
