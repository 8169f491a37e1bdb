"""SCRAM in the log-in process: the conversation, channel binding, and what each part must be."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.auth import sasl, scram
from courier.auth.account import Secret
from courier.auth.challenge import Challenges, messages
from courier.auth.domain import DefaultDomain
from courier.auth.exchange import PROVEN
from courier.auth.request import Authenticate
from courier.auth.sasl import Cancelled, Credentials, Failed, Malformed, Question, Refused
from tests.support.scram import ScramClient

NO_DOMAIN = DefaultDomain()
BINDINGS = {"tls-exporter": b"e" * 32, "tls-server-end-point": b"p" * 32}
PLAIN_OFFER = sasl.offered(["SCRAM-SHA-256", "SCRAM-SHA-1"], None)
TLS_OFFER = sasl.offered(["SCRAM-SHA-256", "SCRAM-SHA-1"], BINDINGS.get)
#: As before TLS 1.3.
OLD_TLS_OFFER = sasl.offered(["SCRAM-SHA-256"], {"tls-server-end-point": b"p" * 32}.get)


class Server:
    """A mechanism with an authdaemond that knows one password for everybody."""

    def __init__(
        self,
        name: str = "SCRAM-SHA-256",
        offer: sasl.Offer = PLAIN_OFFER,
        domain: DefaultDomain = NO_DOMAIN,
        initial: bytes | None = None,
        password: bytes = b"secret",
    ) -> None:
        self.asked: list[Question] = []
        self._challenges = Challenges(b"key")
        self._password = password
        self._steps = sasl.start(name, initial, domain, offer=offer)

    def say(self, response: bytes | None) -> bytes | Credentials:
        """Hear the client, in base64; give the next challenge without it, or the end."""
        try:
            step = self._steps.send(response)
            while isinstance(step, Question):
                step = self._steps.send(self._answer(step))
        except StopIteration as stop:
            credentials: Credentials = stop.value
            return credentials
        assert isinstance(step, bytes)
        return b64decode(step)

    def _answer(self, question: Question) -> bytes | None:
        self.asked.append(question)
        request = Authenticate(b"imap", question.authtype, question.first, question.second)
        if not question.authtype.endswith(b"-proof"):
            return self._challenges.first(request, b"")
        found = messages(request)
        if found is None or not self._challenges.is_ours(request):
            return None
        mechanism = question.authtype.upper().removesuffix(b"-PROOF")
        keys = scram.derived(mechanism, self._password, found.salt, found.iterations)
        signature = scram.signature(keys, found.signed, found.proof)
        return None if signature is None else b"v=" + b64encode(signature)


def converse(server: Server, client: ScramClient, last: bytes = b"") -> bytes | Credentials:
    assert server.say(None) == b""
    challenge = server.say(b64encode(client.first()))
    assert isinstance(challenge, bytes)
    proof = server.say(b64encode(client.final(challenge)))
    assert isinstance(proof, bytes) and client.believes(proof)
    return server.say(last)


@pytest.mark.parametrize("name", ["SCRAM-SHA-256", "scram-sha-1"])
def test_conversation(name: str) -> None:
    """Both have proved themselves; master is told no more than that."""
    server = Server(name)
    client = ScramClient("u@example.com", "secret", "sha1" if "1" in name[-2:] else "sha256")

    assert converse(server, client) == PROVEN
    assert [one.first for one in server.asked] == [b"u@example.com"] * 2
    assert server.asked[0].authtype == name.lower().encode()
    assert server.asked[0].second == Secret(client.nonce)


def test_initial_response() -> None:
    client = ScramClient("u@example.com", "secret")
    server = Server(initial=b64encode(client.first()))

    challenge = server.say(None)

    assert isinstance(challenge, bytes)
    assert server.say(b64encode(client.final(challenge))) != PROVEN
    assert server.say(b"") == PROVEN


def test_userid() -> None:
    """It is unquoted and prepared, and gets its domain."""
    server = Server(domain=DefaultDomain("@example.com"))
    converse(server, ScramClient("a,b=c", "secret"))
    assert server.asked[1].first == b"a,b=c@example.com"

    server = Server()
    converse(server, ScramClient("I\u00adX", "secret"))
    assert server.asked[1].first == b"IX"


@pytest.mark.parametrize(("binding", "offer"), [
    ("tls-exporter", TLS_OFFER), ("tls-server-end-point", TLS_OFFER),
    ("tls-server-end-point", OLD_TLS_OFFER),
])  # fmt: skip
def test_channel_binding(binding: str, offer: sasl.Offer) -> None:
    client = ScramClient("u", "secret")
    client.header, client.binding = f"p={binding},,".encode(), BINDINGS[binding]

    assert converse(Server("SCRAM-SHA-256-PLUS", offer), client) == PROVEN


def test_offer() -> None:
    """-PLUS where there is the binding that clients choose by themselves."""
    assert PLAIN_OFFER.names == {"SCRAM-SHA-256", "SCRAM-SHA-1"}
    assert TLS_OFFER.names == PLAIN_OFFER.names | {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"}
    assert OLD_TLS_OFFER.names == {"SCRAM-SHA-256"}
    assert sasl.offered(["plain", "scram-sha-256-plus"], None).names == {"SCRAM-SHA-256"}


@pytest.mark.parametrize(
    ("name", "offer"),
    [
        ("SCRAM-SHA-256", sasl.NOTHING), ("SCRAM-SHA-1", OLD_TLS_OFFER),
        ("SCRAM-SHA-512", TLS_OFFER), ("SCRAM-SHA-256-PLUS-PLUS", TLS_OFFER), ("-PLUS", TLS_OFFER),
    ],
)  # fmt: skip
def test_mechanism_that_is_not_offered(name: str, offer: sasl.Offer) -> None:
    with pytest.raises(sasl.UnknownMechanism):
        sasl.start(name, None, NO_DOMAIN, offer=offer)


@pytest.mark.parametrize(
    ("name", "offer", "header", "failure"),
    [
        # RFC 5802 6: the client took us for a server without it, though it was offered.
        ("SCRAM-SHA-256", TLS_OFFER, b"y,,", Refused),
        ("SCRAM-SHA-256", TLS_OFFER, b"p=tls-exporter,,", Refused),
        ("SCRAM-SHA-256-PLUS", TLS_OFFER, b"n,,", Refused),
        ("SCRAM-SHA-256-PLUS", TLS_OFFER, b"y,,", Refused),
        ("SCRAM-SHA-256-PLUS", TLS_OFFER, b"p=tls-unique,,", Refused),
        ("SCRAM-SHA-256-PLUS", OLD_TLS_OFFER, b"p=tls-exporter,,", Refused),
        ("SCRAM-SHA-256-PLUS", PLAIN_OFFER, b"p=tls-exporter,,", Refused),
        ("SCRAM-SHA-256-PLUS", PLAIN_OFFER, b"n,,", Refused),
        ("SCRAM-SHA-256", PLAIN_OFFER, b"n,a=other,", Refused),
        ("SCRAM-SHA-256", PLAIN_OFFER, b"n,a=,", Malformed),
        ("SCRAM-SHA-256", PLAIN_OFFER, b"n,", Malformed),
        ("SCRAM-SHA-256", PLAIN_OFFER, b"N,,", Malformed),
        ("SCRAM-SHA-256", PLAIN_OFFER, b"p=,,", Malformed),
        ("SCRAM-SHA-256", PLAIN_OFFER, b"n,,m=x,", Malformed),
        ("SCRAM-SHA-256", PLAIN_OFFER, b"F,n,,", Malformed),
    ],
)
def test_header(name: str, offer: sasl.Offer, header: bytes, failure: type[Failed]) -> None:
    """Nobody is asked for who begins like that."""
    server = Server(name, offer)
    server.say(None)

    with pytest.raises(failure):
        server.say(b64encode(ScramClient("u", "secret", header=header).first()))
    assert server.asked == []


@pytest.mark.parametrize("header", [b"n,,", b"y,,", b"n,a=u,"])
def test_header_of_clients_without_channel_binding(header: bytes) -> None:
    """`y` is right where nothing was offered; to be oneself may be asked for."""
    assert converse(Server(), ScramClient("u", "secret", header=header)) == PROVEN


@pytest.mark.parametrize(
    "first",
    [
        b"", b"n,,", b"n,,n=u", b"n,,n=,r=abc", b"n,,n=u,r=", b"n,,n=u,r=a b", b"n,,n=u,r=a,b",
        b"n,,n=u=2D,r=abc", b"n,,n=u=,r=abc", b"n,,n=u\0,r=abc", b"n,,n=u,r=a\nb", b"n,,n=\xff,r=a",
        b"n,,r=abc,n=u", b"n,,n=u,r=abc\n", b"n,,n=\xe2\x80\xae,r=abc",
    ],
)  # fmt: skip
def test_first_message_that_is_none(first: bytes) -> None:
    server = Server()
    server.say(None)
    with pytest.raises(Failed):
        server.say(b64encode(first))
    assert server.asked == []


@pytest.mark.parametrize("said", [b"*", b"!", b"x"])
def test_client_that_gives_up_or_sends_no_base64(said: bytes) -> None:
    for before in range(3):
        server, client = Server(), ScramClient("u", "secret")
        server.say(None)
        if before:
            challenge = server.say(b64encode(client.first()))
            assert isinstance(challenge, bytes)
        if before == 2:
            server.say(b64encode(client.final(challenge)))
        with pytest.raises(Cancelled if said == b"*" else Malformed):
            server.say(said)


def finals(client: ScramClient, challenge: bytes) -> Sequence[bytes]:
    right = client.final(challenge)
    nonce = challenge.split(b",")[0]
    return [
        b"", right[:-4], right.replace(b",p=", b",q="), right.replace(nonce, nonce + b"x"),
        right.replace(nonce, b"r=" + client.nonce), right.replace(b"c=biws", b"c=eSws"),
        right.replace(b"c=biws", b"c="), right.replace(b"c=biws,", b""), right + b",x=y",
        right.replace(b",p=", b",p=AAAA"), right.partition(b",p=")[0], right + b"\n",
        right.replace(b",r=", b",m=x,r="),
    ]  # fmt: skip


@pytest.mark.parametrize("which", range(13))
def test_final_message_that_is_none(which: int) -> None:
    """Another's nonce, another header than that of the beginning, no proof, or a wrong one."""
    server, client = Server(), ScramClient("u", "secret")
    server.say(None)
    challenge = server.say(b64encode(client.first()))
    assert isinstance(challenge, bytes)

    with pytest.raises(Failed):
        server.say(b64encode(finals(client, challenge)[which]))


def test_binding_to_another_connection() -> None:
    """What sits between client and server has another key to the channel."""
    server = Server("SCRAM-SHA-256-PLUS", TLS_OFFER)
    client = ScramClient("u", "secret", header=b"p=tls-exporter,,", binding=b"f" * 32)
    server.say(None)
    challenge = server.say(b64encode(client.first()))
    assert isinstance(challenge, bytes)

    with pytest.raises(Refused):
        server.say(b64encode(client.final(challenge)))
    assert len(server.asked) == 1  # no proof is passed on


def test_wrong_password() -> None:
    server, client = Server(password=b"another"), ScramClient("u", "secret")
    server.say(None)
    challenge = server.say(b64encode(client.first()))
    assert isinstance(challenge, bytes)
    with pytest.raises(Refused):
        server.say(b64encode(client.final(challenge)))


def test_client_that_does_not_believe_the_server() -> None:
    with pytest.raises(Cancelled):
        converse(Server(), ScramClient("u", "secret"), b"*")
    with pytest.raises(Malformed):
        converse(Server(), ScramClient("u", "secret"), b64encode(b"x"))


@given(
    st.sampled_from([*sorted(sasl.OPTIONAL), "SCRAM-SHA-256-PLUS"]),
    st.one_of(
        st.binary(max_size=100),
        st.lists(
            st.sampled_from(
                [b"n,", b"y,", b"p=tls-exporter,", b",", b"a=u,", b"n=u,", b"r=abc", b"=2C", b"\x01",
                 b"auth=Bearer x", b"user=u", b"\xff", b"m=x,", b"=", b"*", b"c=biws,", b",p=AAAA"]
            ),
            max_size=8,
        ).map(b"".join),
    ),
    st.binary(max_size=60),
)  # fmt: skip
def test_whatever_is_sent(name: str, first: bytes, second: bytes) -> None:
    """It fails in order, asks a question, or answers; nothing else is ever raised."""
    offer = sasl.offered(sasl.OPTIONAL, BINDINGS.get)
    steps = sasl.start(name, b64encode(first), NO_DOMAIN, offer=offer)
    challenge = b"r=abcxyz,s=AAAA,i=4096"
    try:
        step = steps.send(None)
        for answer in (challenge, b64encode(second), b64encode(second)):
            step = steps.send(answer)
        assert isinstance(step, bytes | Question | sasl.Refusal)
    except (Failed, StopIteration):
        pass
