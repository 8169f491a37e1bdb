"""In which order the modules are asked, and what the client is told. No I/O: a generator.

It yields `Ask` and is sent what that module said, yields octets of the reply as they are due, and
ends. A wrong password is a rejection like an unknown userid, so the next module is asked; only a
temporary failure ends the search, and is told by closing the connection.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from authdaemond import log
from authdaemond.success_cache import SuccessCache
from courier.auth import challenge, reply
from courier.auth.challenge import Challenges
from courier.auth.request import (
    ANY_MODULE,
    Authenticate,
    ChangePassword,
    Enumerate,
    Lookup,
    Request,
)


@dataclass(frozen=True, slots=True)
class Ask:
    """Put a request to a module: the client's, or what follows from it."""

    module: str
    request: Request


class Verdict(enum.Enum):
    """What a module says of a request."""

    DONE = b"done"
    REJECTED = b"rejected"
    TEMPORARY = b"temporary"


@dataclass(frozen=True, slots=True)
class Answer:
    """A module's verdict. With DONE the reply, which for a list has been sent by then.

    ``delay_s``: how long the module wants a rejected client to wait. Other modules are asked
    meanwhile; if none takes the request, the client waits. ``compared``: what the password was
    compared with, as `passwords.nobodys` has it; None: with nothing.
    """

    verdict: Verdict
    reply: bytes = b""
    delay_s: float = 0.0
    compared: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """Octets for the client, after ``delay_s``."""

    data: bytes
    delay_s: float = 0.0


class Usual:
    """What a wrong password costs here, so that an unknown userid may cost the same.

    That is what the last password was compared with, whoever's it was, and how long the last one who
    failed was made to wait.
    """

    def __init__(self, compared: bytes = b"") -> None:
        """``compared`` is for the time before there is a last one."""
        self.compared = compared
        self.delay_s = 0.0

    def saw(self, answer: Answer) -> None:
        if answer.compared is not None:
            self.compared = answer.compared
            if answer.verdict is Verdict.REJECTED:
                self.delay_s = answer.delay_s


#: The authtype of a comparison without a userid; in its place stands what the password is compared with.
NOBODY = b"nobody"
#: The authtypes of log-ins by a token, and the module that knows what one is good for.
TOKENS = (b"oauthbearer", b"xoauth2")
TOKEN_MODULE = "authoauth2"

Steps = Generator[Ask | Reply, Answer, None]


def steps(
    request: Request,
    modules: Sequence[str],
    cache: SuccessCache,
    challenges: Challenges,
    usual: Usual,
) -> Steps:
    """Answer a request by asking ``modules`` in order, or from what they said a moment ago."""
    match request:
        case Lookup():
            log.lookup(request.userid)
            return _search(request, _named(request.module, modules))
        case Authenticate():
            log.request(request.service, request.authtype)
            if request.authtype in TOKENS:
                return _token(request, modules)
            if challenge.mechanism_of(request.authtype) is not None:
                return _scram(request, modules, challenges)
            return _authenticate(request, modules, cache, usual)
        case ChangePassword():
            return _change_password(request, modules, cache)
        case Enumerate():
            return _enumerate(modules)


def _named(name: bytes, modules: Sequence[str]) -> Sequence[str]:
    return (
        modules if name == ANY_MODULE else [module for module in modules if module.encode() == name]
    )


def _authenticate(
    request: Authenticate, modules: Sequence[str], cache: SuccessCache, usual: Usual
) -> Steps:
    known = cache.get(request)
    if known is not None:
        log.known()
        yield Reply(known)
        return
    stamp = cache.stamp()
    answer = yield from _ask(request, modules)
    usual.saw(answer)
    if answer.verdict is Verdict.DONE:
        cache.keep(request, answer.reply, stamp)
    if answer.verdict is Verdict.REJECTED and request.authtype == b"login":
        if answer.compared is None and usual.compared and _is_askable(request):
            module = next(one for one in (*modules, "") if one != TOKEN_MODULE)
            if module:
                yield Ask(module, replace(request, authtype=NOBODY, first=usual.compared))
        answer = replace(answer, delay_s=max(answer.delay_s, usual.delay_s))
    yield from _tell(answer)


def _scram(request: Authenticate, modules: Sequence[str], challenges: Challenges) -> Steps:
    """Give a challenge, to nobody too, or check what came of one that was given."""
    if not challenge.is_proof(request):
        known: bytes | None = None
        for number in range(len(modules)):
            # All of them, also when one has answered: the time would tell who is unknown.
            answer = yield from _ask(request, modules[number : number + 1])
            if answer.verdict is Verdict.TEMPORARY and known is None:
                return
            if answer.verdict is Verdict.DONE and known is None:
                known = answer.reply
        yield Reply(reply.encode_said(challenges.first(request, known or b"")))
    elif challenges.is_ours(request):
        yield from _search(request, modules)
    else:
        log.old_challenge()
        yield Reply(reply.FAIL)


def _token(request: Authenticate, modules: Sequence[str]) -> Steps:
    """Have the module of tokens say whose a token is, and the others who that is.

    Its reply has two lines: the userid, and what a client is told that is refused.
    """
    if TOKEN_MODULE not in modules or not _is_askable(request):
        yield Reply(reply.FAIL)
        return
    log.trying(TOKEN_MODULE)
    answer = yield Ask(TOKEN_MODULE, request)
    userid, _, refusal = answer.reply.partition(b"\n")
    if answer.verdict is Verdict.DONE:
        account = Lookup(request.service, userid, remote_ip=request.remote_ip)
        answer = yield from _ask(account, modules)
    if answer.verdict is Verdict.REJECTED:
        yield Reply(reply.encode_said(refusal) if refusal else reply.FAIL)
        return
    yield from _tell(answer)


def _search(request: Lookup | Authenticate, modules: Sequence[str]) -> Steps:
    yield from _tell((yield from _ask(request, modules)))


def _tell(answer: Answer) -> Steps:
    if answer.verdict is Verdict.DONE:
        yield Reply(answer.reply)
    elif answer.verdict is Verdict.REJECTED:
        log.all_rejected()
        yield Reply(reply.FAIL, answer.delay_s)


def _ask(
    request: Lookup | Authenticate, modules: Sequence[str]
) -> Generator[Ask | Reply, Answer, Answer]:
    """Ask the modules in order; return the answer that ends the search, or a rejection by all."""
    delay_s, compared = 0.0, None
    for module in modules if _is_askable(request) else ():
        if module == TOKEN_MODULE:
            continue  # it knows no accounts
        log.trying(module)
        answer = yield Ask(module, request)
        match answer.verdict:
            case Verdict.DONE:
                return answer
            case Verdict.TEMPORARY:
                log.temporary(module)
                return answer
            case Verdict.REJECTED:
                log.rejected(module)
                delay_s = max(delay_s, answer.delay_s)
                compared = answer.compared if answer.compared is not None else compared
    return Answer(Verdict.REJECTED, delay_s=delay_s, compared=compared)


def _change_password(request: ChangePassword, modules: Sequence[str], cache: SuccessCache) -> Steps:
    delay_s = 0.0
    for module in modules if _is_askable(request) else ():
        answer = yield Ask(module, request)
        delay_s = max(delay_s, answer.delay_s)
        if answer.verdict is Verdict.DONE:
            cache.forget()
            yield Reply(reply.OK)
            return
        if answer.verdict is Verdict.TEMPORARY:
            break
    yield Reply(reply.FAIL, delay_s)


def _enumerate(modules: Sequence[str]) -> Steps:
    for module in modules:
        yield Reply(b"# " + module.encode() + b"\n\n")
        answer = yield Ask(module, Enumerate())
        if answer.verdict is not Verdict.DONE:
            log.list_ended(module)
            return
    yield Reply(reply.END)


_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def _is_askable(request: Lookup | Authenticate | ChangePassword) -> bool:
    """Whether any module may be asked.

    Nothing is empty, no name holds a control character, and no service a slash: PAM makes a file's
    name of it. Courier's modules see all that; here none has to be proof against it. What is secret
    may hold any octet but NUL, at which C's programs would take it for another.
    """
    match request:
        case Lookup():
            names, secrets = [request.service, request.userid], []
        case Authenticate():
            if request.authtype == NOBODY:  # what that costs is for nobody outside to say
                return False
            names, secrets = [request.service, request.first], [request.second.reveal()]
        case ChangePassword():
            names = [request.service, request.userid]
            secrets = [request.old.reveal(), request.new.reveal()]
            if any(re.search(rb"[\x00-\x1f]", secret) for secret in secrets):
                return False
    if not all(names) or not all(secrets) or b"/" in request.service:
        return False
    return not any(map(_CONTROL.search, names)) and not any(b"\0" in secret for secret in secrets)
