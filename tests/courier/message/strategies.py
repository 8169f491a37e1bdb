"""What property tests of messages are fed with: rubbish that looks like mail, and mail that is right."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hypothesis import strategies as st

_PIECES = [
    *(b"\n", b"\r\n", b"\r", b"\0", b"\t", b" ", b"\n\n", b"\r\n\r\n", b"\xff", b"\xc3\xa9", b"x"),
    *(
        b"--",
        b"\n--a",
        b"\n--a--",
        b"\n--A\n",
        b"\n--ab\n",
        b"\n--b\n",
        b"\r\n--b--\r\n",
        b"\n--\n",
    ),
    *(
        b"Content-Type: multipart/mixed; boundary=a\n",
        b"\nContent-Type: multipart/x; boundary=b\n\n",
    ),
    *(b"Content-Type: message/rfc822\n\n", b"Content-Type: multipart/digest; boundary=ab\n\n"),
    *(b"content-type: text/plain; charset=\n", b"Content-Transfer-Encoding: base64\n"),
    *(
        b"Content-Disposition: attachment; filename*0=a; filename*1=b\n",
        b"Content-Language: a, b\n",
    ),
    *(
        b"From: ",
        b"To: ",
        b"Subject: ",
        b"Date: ",
        b"a@b",
        b"<",
        b">",
        b"@",
        b",",
        b";",
        b":",
        b"(",
    ),
    *(b")", b'"', b"\\", b"=?utf-8?q?=C3=A9?=", b"=?x?b?", b"?=", b"[", b"]", b"="),
]

#: Any bytes, most of them such that a parser of mail takes them for something.
rubbish = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(_PIECES)).map(b"".join))


@dataclass
class Node:
    """A part as the writer of a message knows it."""

    kind: bytes
    body: bytes = b""
    boundary: bytes = b""
    children: list[Node] = field(default_factory=list)

    def write(self) -> bytes:
        head = b"Content-Type: " + self.kind
        if self.kind == b"message/rfc822":
            return head + b"\n\n" + self.children[0].write()
        if not self.children:
            return head + b"\n\n" + self.body
        delimiter = b"\n--" + self.boundary
        parts = b"".join(delimiter + b"\n" + child.write() for child in self.children)
        return (
            head + b'; boundary="' + self.boundary + b'"\n\npreamble' + parts + delimiter + b"--\n"
        )


_bodies = st.lists(st.sampled_from([b"text", b"--", b"--x", b"", b"\rx", b"\xff\0"])).map(
    b"\n".join
)
_leaves = st.builds(Node, st.sampled_from([b"text/plain", b"image/png"]), _bodies)


def _multipart(children: list[Node]) -> Node:
    return Node(b"multipart/mixed", children=children)


def _message(child: Node) -> Node:
    return Node(b"message/rfc822", children=[child])


def _around(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    multiparts = st.lists(children, min_size=1, max_size=4).map(_multipart)
    return multiparts | children.map(_message)


def _number(node: Node) -> Node:
    """Give each multipart a boundary of its own."""
    waiting, count = [node], 0
    while waiting:
        current = waiting.pop()
        if current.kind.startswith(b"multipart"):
            count += 1
            current.boundary = b"b%d." % count
        waiting += current.children
    return node


#: Messages that are right, as trees.
trees = st.recursive(_leaves, _around, max_leaves=12).map(_number)


@contextmanager
def linear(seconds: float = 20) -> Iterator[None]:
    """Fail, rather than hang, when code that ought to take a fraction of a second of CPU does not."""

    def give_up(*_: object) -> None:
        raise AssertionError(f"more than {seconds} s of CPU: not linear")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
