"""authpipe: with a real program, and beside Courier's own module."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from authdaemond.backends.authpipe import AuthPipe
from authdaemond.backends.backend import Rejected, Unavailable
from courier.auth.account import Secret
from courier.auth.request import Authenticate, ChangePassword, Lookup
from tests.authdaemond.test_daemon import auth
from tests.conftest import missing
from tests.support import authdaemon
from tests.support.courier_root import CourierRoot
from tests.support.servers import COURIER

PROGRAM = """#!{python}
import os, sys
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
ACCOUNT = b"GID=5000\\nADDRESS=%b\\nUID=5000\\nX=unknown\\nHOME=/h\\nNAME=A B\\n.\\n"
while line := stdin.readline():
    verb, _, rest = line.rstrip(b"\\n").partition(b" ")
    if verb == b"AUTH":
        service, kind, first, second = stdin.read(int(rest)).split(b"\\n")[:4]
        answer = ACCOUNT % first if second == b"secret" else b"FAIL\\n"
        if first == b"die":
            os._exit(1)
        if first == b"garbage":
            answer = b"HOME=/h\\n.\\n"
        if first == b"sleep":
            continue
        if first == b"noisy":
            answer += b"out of turn\\n"
    elif verb == b"PRE":
        _, service, userid = rest.split(b" ", 2)
        answer = ACCOUNT % userid if userid != b"nobody" else b"FAIL\\n"
    elif verb == b"PASSWD":
        answer = b"OK\\n" if rest.split(b"\\t")[2] == b"secret" else b"FAIL\\n"
    else:
        answer = b"a\\t5000\\t5000\\t/h\\nroot\\t0\\t0\\t/root\\t\\t\\nb\\t5001\\t5001\\t/h\\tM\\tx=1\\n.\\n"
    stdout.write(answer)
    stdout.flush()
"""


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[AuthPipe]:
    backend = AuthPipe(_program(tmp_path / "authProg", sys.executable))
    yield backend
    backend._end()


def _program(path: Path, python: str) -> Path:
    path.write_text(PROGRAM.format(python=python))
    path.chmod(0o755)
    return path


def login(userid: bytes, password: bytes = b"secret") -> Authenticate:
    return Authenticate(b"imap", b"login", userid, Secret(password))


def test_many_requests_to_one_program(pipe: AuthPipe) -> None:
    assert pipe.login(login(b"vm1")).address == "vm1"
    first = pipe._process
    with pytest.raises(Rejected):
        pipe.login(login(b"vm1", b"bad"))
    assert pipe.lookup(Lookup(b"imap", b"two words")).address == "two words"
    pipe.change_password(ChangePassword(b"imap", b"vm1", Secret(b"secret"), Secret(b"new")))
    with pytest.raises(Rejected):
        pipe.change_password(ChangePassword(b"imap", b"vm1", Secret(b"bad"), Secret(b"new")))

    assert [account.address for account in pipe.accounts()] == ["a", "b"]
    assert pipe._process is first


@pytest.mark.slow
@pytest.mark.parametrize("userid", [b"die", b"garbage", b"sleep"])
def test_program_that_gives_no_answer(
    pipe: AuthPipe, monkeypatch: pytest.MonkeyPatch, userid: bytes
) -> None:
    """A temporary failure; the next request has another program."""
    with monkeypatch.context() as patch:
        if userid == b"sleep":
            patch.setattr(pipe, "_answer_s", 0.5)
        with pytest.raises(Unavailable):
            pipe.login(login(userid))

    assert pipe.login(login(b"vm1")).address == "vm1"


@pytest.mark.slow
def test_program_that_speaks_out_of_turn(pipe: AuthPipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says unasked is nobody's answer."""
    with monkeypatch.context() as patch, contextlib.suppress(Unavailable):
        patch.setattr(pipe, "_answer_s", 0.5)  # for if both come in one piece
        pipe.login(login(b"noisy"))

    with pytest.raises(Rejected):
        pipe.login(login(b"vm1", b"bad"))


def test_without_a_program(tmp_path: Path) -> None:
    """The module takes no part, and its list is empty and ends well."""
    backend = AuthPipe(tmp_path / "authProg")

    with pytest.raises(Rejected):
        backend.login(login(b"vm1"))
    assert list(backend.accounts()) == []


REQUESTS = (
    auth(b"imap", b"login", b"vm1", b"secret"),
    auth(b"imap", b"login", b"vm1", b"bad"),
    b"PRE . imap vm1\n",
    b"PRE . imap nobody\n",
    b"PASSWD imap\tvm1\tsecret\tnew\n",
    b"PASSWD imap\tvm1\tbad\tnew\n",
    auth(b"imap", b"login", b"die", b"secret"),
    auth(b"imap", b"login", b"vm1", b"secret"),
    b"ENUMERATE\n",
)


@pytest.mark.slow
@pytest.mark.courier
@pytest.mark.root
def test_answers_as_couriers_module_does(root: CourierRoot) -> None:
    module = COURIER / "usr/lib/courier-authlib/libauthpipe.so.0"
    if not module.exists():
        missing(f"Debian's {module}, see `make tools`")
    _program(root.configuration / "authProg", "/usr/bin/python3")

    replies = []
    for ours in (False, True):
        settings = {"authmodulelist": "authpipe", "daemons": "1"}
        daemon = authdaemon.start_inside(root, settings, ours=ours)
        try:
            replies.append([daemon.ask(request) for request in REQUESTS])
        finally:
            daemon.stop()

    for request, theirs, mine in zip(REQUESTS, *replies, strict=True):
        assert mine == theirs, request
