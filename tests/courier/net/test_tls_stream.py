"""A TLS connection as a sequence of octets: cut anywhere, broken anywhere, ended any way."""

from __future__ import annotations

import gc
import hashlib
import re
import select
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import weakref
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from courier.net.tls import Contexts, TlsOptions
from courier.net.tls_stream import TlsStream
from tests.conftest import missing
from tests.courier.net.authority import authority
from tests.courier.net.peers import Client, client_context

SERVER = authority().sign("localhost")
V = ssl.TLSVersion


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    file = SERVER.combined(tmp_path_factory.mktemp("tls") / "imapd.pem")
    return Contexts.load(TlsOptions(certificate=file))


@pytest.fixture
def stream(contexts: Contexts) -> TlsStream:
    return contexts.stream("127.0.0.1")


def at_most(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = client_context()
    context.maximum_version = version
    return context


@pytest.fixture(params=[V.TLSv1_2, V.TLSv1_3])
def client(request: pytest.FixtureRequest, stream: TlsStream) -> Client:
    """An established connection, of either version."""
    return Client(stream, at_most(request.param)).handshake()


def is_alert(octets: bytes) -> bool:
    return octets[:1] == b"\x15"


# --- Octets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [V.TLSv1_2, V.TLSv1_3])
@pytest.mark.parametrize("chunk", [1, 2, 7, 4096, 1 << 20])
def test_records_in_pieces(contexts: Contexts, version: ssl.TLSVersion, chunk: int) -> None:
    """However the transport cuts it, the same is heard."""
    client = Client(contexts.stream("127.0.0.1"), at_most(version), chunk=chunk).handshake()

    assert client.stream.is_established
    assert client.say(b"a1 NOOP\r\n") == b"a1 NOOP\r\n"
    assert client.stream.failure is None


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 16384, 16385, 3_000_000])
def test_sizes_both_ways(client: Client, size: int) -> None:
    """Nothing is lost or turned around, up to megabytes at once."""
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)

    assert client.say(message) == message
    client.stream.write(message)
    client.exchange()
    assert client.read() == message


def test_pieces_of_a_changing_buffer(client: Client) -> None:
    """The caller's buffer may be reused as soon as write has returned."""
    buffer = bytearray(b"a" * 10_000)
    client.stream.write(memoryview(buffer))
    buffer[:] = b"b" * 10_000

    client.exchange()

    assert client.read() == b"a" * 10_000


def test_first_words_in_the_packet_of_the_handshake(stream: TlsStream) -> None:
    """A client may speak right behind its Finished, before it hears from us."""
    client = Client(stream)
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client.exchange()
    client.tls.do_handshake()
    client.tls.write(b"a LOGOUT\r\n")

    heard = stream.feed(client.outgoing.read())

    assert (stream.is_established, heard) == (True, b"a LOGOUT\r\n")


def test_write_before_the_handshake_is_a_mistake(stream: TlsStream) -> None:
    with pytest.raises(RuntimeError):
        stream.write(b"* OK\r\n")
    assert stream.pending_output() == b""


def test_words_before_the_handshake_do_not_survive_it(stream: TlsStream) -> None:
    """What was injected behind STARTTLS, were it fed, ends the handshake and is never heard."""
    client = Client(stream)
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()

    heard = stream.feed(b"a2 LOGIN eve secret\r\n" + client.outgoing.read())

    assert (heard, stream.is_established) == (b"", False)
    assert stream.failure is not None


# --- The end ----------------------------------------------------------------------------------------


def test_client_says_good_bye(client: Client) -> None:
    """close_notify is told apart from a connection that breaks off; what came before it is heard."""
    client.tls.write(b"a LOGOUT\r\n")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    client.exchange()

    assert client.heard == b"a LOGOUT\r\n"
    assert client.stream.is_closed_by_peer
    client.stream.feed_eof()
    assert not client.stream.is_truncated
    assert client.stream.failure is None


def test_connection_breaks_off(client: Client) -> None:
    client.stream.feed_eof()

    assert client.stream.is_truncated
    assert not client.stream.is_closed_by_peer
    assert client.stream.failure is None


def test_connection_breaks_off_in_the_handshake(stream: TlsStream) -> None:
    stream.feed(b"\x16\x03\x01")
    stream.feed_eof()

    assert stream.failure == "connection closed during the TLS handshake"


def test_server_says_good_bye(client: Client) -> None:
    """The client sees the end of the connection as meant."""
    client.stream.write(b"* BYE\r\n")
    client.stream.close()
    client.exchange()

    assert client.tls.read() == b"* BYE\r\n"
    assert client.tls.read() == b""  # and no SSLEOFError


def test_close_before_the_handshake_says_nothing(stream: TlsStream) -> None:
    stream.close()

    assert stream.pending_output() == b""


def test_nothing_is_heard_after_good_bye(client: Client) -> None:
    """Octets behind a close_notify are nobody's."""
    client.tls.write(b"a")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    octets = client.outgoing.read()

    assert client.stream.feed(octets + octets) == b"a"
    assert client.stream.feed(octets) == b""
    assert client.stream.failure is None


# --- Failures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "failure"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http request"),
        (b"a1 CAPABILITY\r\n", None),
        (
            b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80" + bytes(34),
            None,
        ),
        (b"\x16\x03\x01\xff\xff" + bytes(70_000), None),
        (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", None),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "unexpected message"),
        (b"\x17\x03\x03\x00\x05hello", "unexpected message"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "unexpected message"),
        (b"\x15\x03\x01\x00\x02\x01\x00", None),
        (b"\x14\x03\x03\x00\x01\x01" * 50, None),
        (b"\x16\x03\x01\x00\x00" * 50, None),
        (b"\0" * 100, "wrong version number"),
    ],
)
def test_what_is_no_handshake(stream: TlsStream, octets: bytes, failure: str | None) -> None:
    """It fails with one line of text, an alert or nothing goes out, and nothing is heard."""
    assert stream.feed(octets) == b""
    answer = stream.pending_output()

    assert stream.failure is not None
    assert failure in (None, stream.failure)
    assert "\n" not in stream.failure
    assert not answer or is_alert(answer)
    assert (stream.feed(octets), stream.pending_output()) == (b"", b"")


def hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client_context().wrap_bio(
            ssl.MemoryBIO(), outgoing, server_hostname="localhost"
        ).do_handshake()
    return outgoing.read()


HELLO = hello()


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(HELLO) - 1), st.integers(0, 255)), min_size=1, max_size=4
    ),
    st.integers(1, len(HELLO)),
)
def test_damaged_hello(damage: list[tuple[int, int]], chunk: int) -> None:
    """Whatever a ClientHello looks like, feeding it raises nothing and establishes nothing."""
    octets = bytearray(HELLO)
    for at, octet in damage:
        octets[at] = octet
    stream = damaged_contexts().stream("127.0.0.1")

    for start in range(0, len(octets), chunk):
        assert stream.feed(bytes(octets[start : start + chunk])) == b""

    assert not stream.is_established
    assert stream.failure is None or "\n" not in stream.failure


_kept: list[Contexts] = []


def damaged_contexts() -> Contexts:
    """One set of contexts for all of hypothesis's examples."""
    if not _kept:
        with tempfile.TemporaryDirectory() as folder:
            file = SERVER.combined(Path(folder) / "imapd.pem")
            _kept.append(Contexts.load(TlsOptions(certificate=file, alpn=("imap",))))
    return _kept[0]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=2000), st.sampled_from([V.TLSv1_2, V.TLSv1_3]))
def test_rubbish_in_a_connection(rubbish: bytes, version: ssl.TLSVersion) -> None:
    """It raises nothing, and nothing but what the client said is ever heard."""
    client = Client(damaged_contexts().stream("127.0.0.1"), at_most(version)).handshake()
    assert client.stream.is_established

    assert client.stream.feed(rubbish) == b""
    assert client.stream.failure is None or "\n" not in client.stream.failure


def test_forged_record(client: Client) -> None:
    """What was heard before it counts; then there is an alert, and an end."""
    client.tls.write(b"first")
    good = client.outgoing.read()
    client.tls.write(b"second")
    forged = bytearray(client.outgoing.read())
    forged[-1] ^= 1
    client.tls.write(b"third")

    heard = client.stream.feed(good + bytes(forged) + client.outgoing.read())

    assert heard == b"first"
    assert client.stream.failure == "decryption failed or bad record mac"
    assert client.stream.is_established
    client.incoming.write(client.stream.pending_output())
    with pytest.raises(ssl.SSLError, match="bad record mac"):
        client.tls.read()
    client.stream.write(b"nobody reads this")
    client.stream.close()
    assert client.stream.pending_output() == b""


def test_replayed_record(client: Client) -> None:
    client.tls.write(b"DELETE INBOX.x\r\n")
    octets = client.outgoing.read()

    assert client.stream.feed(octets + octets) == b"DELETE INBOX.x\r\n"
    assert client.stream.failure == "decryption failed or bad record mac"


def test_client_that_does_not_believe_us(stream: TlsStream) -> None:
    """Its alert is said in words."""
    trusting = client_context(trusted=authority("Another").certificate_pem)

    client = Client(stream, trusting, "localhost").handshake()

    assert client.error is not None
    assert not stream.is_established
    assert stream.failure == "the peer's alert: unknown ca"


def test_renegotiation_is_refused(stream: TlsStream) -> None:
    """By a warning, in the connection: it goes on as it was (RFC 5246 7.2.2)."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = SSL.Connection(context, None)
    client.set_connect_state()

    def step() -> bytes:
        try:
            client.do_handshake()
        except SSL.WantReadError:
            pass
        heard = stream.feed(taken(client))
        if answer := stream.pending_output():
            client.bio_write(answer)
        return heard

    for _ in range(4):
        step()
    assert stream.is_established
    assert client.renegotiate()

    with pytest.raises(SSL.Error) as refusal:
        for _ in range(4):
            step()

    assert "no renegotiation" in str(refusal.value)
    assert stream.failure is None or "renegotiation" in stream.failure
    assert stream.pending_output() == b""


def taken(connection: SSL.Connection) -> bytes:
    try:
        return connection.bio_read(1 << 20)
    except SSL.WantReadError:
        return b""


# --- What was agreed ------------------------------------------------------------------------------------


def test_description(client: Client) -> None:
    """Version, bits and cipher, in Courier's form."""
    version = client.tls.version()

    assert re.fullmatch(rf"{version},(128|256)bits,[A-Z0-9_-]+", client.stream.protocol)
    assert client.stream.alpn == ""
    assert client.stream.subject() == {}


def test_exporter_is_the_clients(stream: TlsStream) -> None:
    """Both ends get the same 32 octets for SCRAM-...-PLUS (RFC 9266)."""
    client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    client.set_connect_state()
    for _ in range(3):
        try:
            client.do_handshake()
        except SSL.WantReadError:
            pass
        stream.feed(taken(client))
        if answer := stream.pending_output():
            client.bio_write(answer)

    binding = stream.channel_binding("tls-exporter")

    assert binding == client.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
    assert binding is not None
    assert len(binding) == 32


def test_exporter_is_for_tls_1_3_alone(stream: TlsStream) -> None:
    """Before, it is not known to be sound; tls-unique isn't either, and never offered."""
    client = Client(stream, at_most(V.TLSv1_2)).handshake()

    assert client.stream.is_established
    assert stream.channel_binding("tls-exporter") is None
    assert stream.channel_binding("tls-unique") is None


def test_end_point_is_the_certificates_hash(client: Client) -> None:
    """RFC 5929 4.1, by the hash that the certificate is signed with."""
    shown = client.tls.getpeercert(binary_form=True)
    assert shown == SERVER.der

    assert client.stream.channel_binding("tls-server-end-point") == hashlib.sha256(shown).digest()


def test_end_point_of_a_name_is_that_names(tmp_path: Path) -> None:
    """The certificate that was shown counts, not the default one."""
    file = SERVER.combined(tmp_path / "imapd.pem")
    other = authority().sign("other.example")
    other.combined(Path(f"{file}.other.example"))
    contexts = Contexts.load(TlsOptions(certificate=file))

    client = Client(contexts.stream("127.0.0.1"), name="other.example").handshake()

    assert (
        client.stream.channel_binding("tls-server-end-point") == hashlib.sha256(other.der).digest()
    )


def test_end_point_without_a_hash_is_none(tmp_path: Path) -> None:
    """A certificate signed by Ed25519 has no such binding."""
    file = tmp_path / "imapd.pem"
    issuer = authority().sign("i", is_authority=True, key=ed25519.Ed25519PrivateKey.generate())
    issuer.sign("localhost").combined(file)
    contexts = Contexts.load(TlsOptions(certificate=file))

    client = Client(contexts.stream("127.0.0.1")).handshake()

    assert client.stream.is_established
    assert client.stream.channel_binding("tls-server-end-point") is None


# --- Memory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_good", [True, False])
def test_connection_is_freed_with_its_stream(contexts: Contexts, is_good: bool) -> None:
    """Without the garbage collector, however it ended."""
    client = Client(contexts.stream("127.0.0.1"))
    if is_good:
        client.handshake()
    else:
        client.stream.feed(b"rubbish rubbish")
    connection = weakref.ref(client.stream._connection)
    gc.disable()
    try:
        del client
        assert connection() is None
    finally:
        gc.enable()


# --- A foreign client ----------------------------------------------------------------------------------------


def serve_one(contexts: Contexts, listener: socket.socket, heard: list[bytes]) -> None:
    """A tiny IMAP server for one connection, on a real socket."""
    sock, _ = listener.accept()
    stream = contexts.stream("127.0.0.1")
    is_greeted = False
    with sock:
        while not (stream.failure or stream.is_closed_by_peer):
            octets = sock.recv(65536)
            if not octets:
                stream.feed_eof()
                break
            heard.append(stream.feed(octets))
            if stream.is_established and not is_greeted:
                is_greeted = True
                stream.write(b"* OK ready\r\n")
            if b"LOGOUT" in heard[-1]:
                stream.write(b"* BYE\r\n")
                stream.close()
            sock.sendall(stream.pending_output())


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client(contexts: Contexts, tmp_path: Path, version: str) -> None:
    """OpenSSL's own client, over a socket, with its chain checked."""
    if shutil.which("openssl") is None:
        missing("openssl")
    assert SERVER.issuer is not None
    (tmp_path / "ca.pem").write_bytes(SERVER.issuer.certificate_pem)
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve_one, args=(contexts, listener, heard))
        server.start()
        client = subprocess.Popen(
            ["openssl", "s_client", version, "-quiet", "-verify_return_error", "-crlf",
             "-CAfile", str(tmp_path / "ca.pem"), "-verify_hostname", "localhost",
             "-connect", f"127.0.0.1:{listener.getsockname()[1]}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert client.stdout is not None
            assert select.select([client.stdout], [], [], 20)[0]
            greeting = client.stdout.read1(100)
            output, _ = client.communicate(b"a LOGOUT\n", timeout=20)
        finally:
            client.kill()
            client.wait()
            server.join(20)

    assert (greeting, output) == (b"* OK ready\r\n", b"* BYE\r\n")
    assert b"".join(heard) == b"a LOGOUT\r\n"
