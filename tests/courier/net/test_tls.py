"""Which certificate a client gets, what the files may look like, and what is refused."""

from __future__ import annotations

import os
import resource
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from courier.net.tls import Contexts, TlsError, TlsOptions, stamp
from tests.conftest import missing
from tests.courier.net.authority import Signed, authority
from tests.courier.net.peers import Client, client_context

# Everything else about certificates is the same for all keys, and these are made quickly.
AUTHORITY = authority()
DEFAULT = AUTHORITY.sign("default.example")
OTHER = AUTHORITY.sign("other.example")
INTERMEDIATE = AUTHORITY.sign("Intermediate", is_authority=True)
LEAF = INTERMEDIATE.sign("default.example")
RSA = rsa.generate_private_key(65537, 2048)
WEAK_DH = """-----BEGIN DH PARAMETERS-----
MIGHAoGBAP//////////yQ/aoiFowjTExmKLgNwc0SkCTgiKZ8x0Agu+pjsTmyJR
Sgh5jjQE3e+VGbPNOkMbMCsKbfJfFDdP4TVtbVHCReSFtXZiXn7G9ExC6aY37WsL
/1y29Aa37e44a/taiZ+lrp8kEXxLH+ZJKGZR7OZTgf//////////AgEC
-----END DH PARAMETERS-----
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Courier's combined file of the default certificate."""
    return DEFAULT.combined(tmp_path / "imapd.pem")


@pytest.fixture(scope="session")
def dh_parameters() -> bytes:
    """The 2048 bit group of RFC 7919, as mkdhparams could write it."""
    try:
        made = subprocess.run(
            ["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:modp_2048"],
            check=True, capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        missing("openssl")
    return made.stdout


def connect(
    contexts: Contexts,
    name: str | None = None,
    address: str = "::ffff:127.0.0.1",
    configure: Callable[[ssl.SSLContext], None] | None = None,
) -> Client:
    return Client(contexts.stream(address), client_context(configure=configure), name).handshake()


def shown(client: Client) -> str:
    """The name in the certificate that the client was shown."""
    assert client.stream.is_established, client.stream.failure
    der = client.tls.getpeercert(binary_form=True)
    assert der is not None
    (name,) = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(
        NameOID.COMMON_NAME
    )
    return str(name.value)


# --- Files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        LEAF.key_pem + LEAF.certificate_pem + INTERMEDIATE.certificate_pem,
        LEAF.certificate_pem + INTERMEDIATE.certificate_pem + LEAF.key_pem,
        INTERMEDIATE.certificate_pem + LEAF.key_pem + LEAF.certificate_pem,
        b"Public Key Info:\n\tKey Security Level: High (256 bits)\n-- ----BEGIN\n\n"
        + LEAF.key_pem + b"\nX.509 Certificate Information:\n" + LEAF.certificate_pem
        + b"\n" + INTERMEDIATE.certificate_pem + b"-----BEGIN",
        LEAF.key_pem.replace(b"\n", b"\r\n") + LEAF.certificate_pem + INTERMEDIATE.certificate_pem,
    ],
)  # fmt: skip
def test_combined_file_in_any_order(tmp_path: Path, content: bytes) -> None:
    """The certificate is the key's, the others are its chain, text between them is nothing."""
    (tmp_path / "imapd.pem").write_bytes(content)
    contexts = Contexts.load(TlsOptions(certificate=tmp_path / "imapd.pem"))

    trusting = client_context(trusted=AUTHORITY.certificate_pem)
    client = Client(contexts.stream("127.0.0.1"), trusting, "default.example").handshake()

    assert client.error is None
    assert shown(client) == "default.example"
    assert contexts.warnings == ()


def test_separate_files(tmp_path: Path) -> None:
    """Key and chain may have files of their own."""
    parts = {
        "cert": LEAF.certificate_pem,
        "key": LEAF.key_pem,
        "chain": INTERMEDIATE.certificate_pem,
    }
    for name, content in parts.items():
        (tmp_path / name).write_bytes(content)
    contexts = Contexts.load(
        TlsOptions(
            certificate=tmp_path / "cert", private_key=tmp_path / "key", chain=tmp_path / "chain"
        )
    )

    trusting = client_context(trusted=AUTHORITY.certificate_pem)
    client = Client(contexts.stream("127.0.0.1"), trusting, "default.example").handshake()

    assert (client.error, client.stream.is_established) == (None, True)


@pytest.mark.parametrize(
    "key", [RSA, ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()],
    ids=["rsa", "ec", "ed25519"],
)  # fmt: skip
def test_kinds_of_keys(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    signed = AUTHORITY.sign("default.example", key=key)
    contexts = Contexts.load(TlsOptions(certificate=signed.combined(tmp_path / "imapd.pem")))

    assert shown(connect(contexts)) == "default.example"


CERTIFICATE, KEY = DEFAULT.certificate_pem, DEFAULT.key_pem


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "{file}: can't be read: No such file or directory"),
        (b"", "{file}: expected a certificate in PEM, found none"),
        (DEFAULT.der, "{file}: expected a certificate in PEM, found none"),
        (KEY, "{file}: expected a certificate (BEGIN CERTIFICATE), found none"),
        (CERTIFICATE, "{file}: expected one private key (BEGIN PRIVATE KEY), found 0"),
        (CERTIFICATE + KEY + KEY, "{file}: expected one private key (BEGIN PRIVATE KEY), found 2"),
        (
            CERTIFICATE + OTHER.key_pem,
            "{file}: expected the private key of the certificate in {file}, found another key",
        ),
        (
            CERTIFICATE + DEFAULT.encrypted_key_pem,
            "{file}: expected a private key without a passphrase",
        ),
        (CERTIFICATE + KEY.replace(b"M", b"N", 1), "{file}: a private key that can't be used: "),
        (CERTIFICATE.replace(b"M", b"N", 1) + KEY, "{file}: a damaged certificate: "),
        (CERTIFICATE + KEY[:60], "{file}: expected one private key (BEGIN PRIVATE KEY), found 0"),
        (
            CERTIFICATE + KEY + WEAK_DH.encode(),
            "{file}: expected DH parameters of 2048 bits or more: ",
        ),
    ],
)
def test_file_that_can_not_be_used(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    """The complaint names the file and says what was expected there."""
    file = tmp_path / "imapd.pem"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(TlsError) as failure:
        Contexts.load(TlsOptions(certificate=file))

    assert str(failure.value).startswith(complaint.format(file=file))
    assert "\n" not in str(failure.value)


def test_weak_key_is_refused(tmp_path: Path) -> None:
    """OpenSSL's security level counts; the complaint has its words."""
    weak = AUTHORITY.sign("default.example", key=rsa.generate_private_key(65537, 1024))
    file = weak.combined(tmp_path / "imapd.pem")

    with pytest.raises(TlsError, match=r"imapd\.pem: OpenSSL refuses it: .*key too small"):
        Contexts.load(TlsOptions(certificate=file, ciphers="DEFAULT:@SECLEVEL=2"))


@pytest.mark.parametrize(
    ("days", "words"), [((-30, -1), "expired on"), ((1, 30), "is not valid before")]
)
def test_certificate_out_of_date_is_served_with_a_warning(
    tmp_path: Path, days: tuple[int, int], words: str
) -> None:
    file = AUTHORITY.sign("default.example", days=days).combined(tmp_path / "imapd.pem")

    contexts = Contexts.load(TlsOptions(certificate=file))

    (warning,) = contexts.warnings
    assert warning.startswith(f"{file}: the certificate {words} ")
    assert shown(connect(contexts)) == "default.example"


# --- DH parameters --------------------------------------------------------------------------------


def dhe(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DHE+AESGCM")


@pytest.mark.parametrize("where", ["separate", "combined", "separate is missing"])
def test_dh_parameters(tmp_path: Path, dh_parameters: bytes, where: str) -> None:
    """From a file of their own, or from the combined file where that is missing."""
    file = AUTHORITY.sign("default.example", key=RSA).combined(tmp_path / "imapd.pem")
    own = tmp_path / "dhparams.pem"
    if where == "separate":
        own.write_bytes(b"a line of text\n" + dh_parameters)
    else:
        file.write_bytes(dh_parameters + file.read_bytes())
    contexts = Contexts.load(
        TlsOptions(certificate=file, dh_parameters=None if where == "combined" else own)
    )

    client = connect(contexts, configure=dhe)

    assert client.stream.protocol.startswith("TLSv1.2,")
    assert ",DHE-RSA-AES" in client.stream.protocol


def test_file_without_dh_parameters(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "dhparams.pem"
    other.write_bytes(b"nothing")

    with pytest.raises(TlsError, match=r"dhparams\.pem: expected DH parameters .*, found none"):
        Contexts.load(TlsOptions(certificate=file, dh_parameters=other))


# --- Names and addresses ----------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path: Path, file: Path) -> Contexts:
    """Certificates for names and addresses beside the default one, named after their files."""
    endings = (
        "mail.example.com", "example.org", "org", "xn--bcher-kva.example", "müller.example",
        "192.0.2.1", "2001:db8::1", "UPPER.example",
    )  # fmt: skip
    for ending in endings:
        AUTHORITY.sign(ending.encode("idna").decode()).combined(Path(f"{file}.{ending}"))
    for leftover in ("bak", "old", "mail.example.com.dpkg-old", "mail.example.com~", "rpmsave"):
        Path(f"{file}.{leftover}").write_bytes(b"-----BEGIN CERTIFICATE-----\n!")
    Path(f"{file}.d").mkdir()
    return Contexts.load(TlsOptions(certificate=file))


@pytest.mark.parametrize(
    ("name", "certificate"),
    [
        (None, "default.example"),
        ("mail.example.com", "mail.example.com"),
        ("MAIL.Example.COM", "mail.example.com"),
        ("x.y.mail.example.com", "mail.example.com"),
        ("example.com", "default.example"),
        ("other.example.com", "default.example"),
        ("imap.example.org", "example.org"),
        ("else.org", "org"),
        ("upper.example", "upper.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("xn--mller-kva.example", "xn--mller-kva.example"),
        ("bak", "default.example"),
        ("com", "default.example"),
        ("a" * 63 + ".unknown", "default.example"),
    ],
)
def test_certificate_by_server_name(many: Contexts, name: str | None, certificate: str) -> None:
    """The exact name, else without leftmost labels, else the default; names ignore case."""
    client = connect(many, name)

    assert shown(client).lower() == certificate


@pytest.mark.parametrize(
    ("address", "name", "certificate"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("::ffff:192.0.2.1", None, "192.0.2.1"),
        ("::ffff:192.0.2.1", "unknown.example", "192.0.2.1"),
        ("::ffff:192.0.2.1", "example.org", "example.org"),
        ("2001:DB8:0::1", None, "2001:db8::1"),
        ("2001:db8::2", None, "default.example"),
        ("fe80::1%eth0", None, "default.example"),
    ],
)
def test_certificate_by_address(
    many: Contexts, address: str, name: str | None, certificate: str
) -> None:
    """The address the client came to decides, unless its server name has a certificate."""
    assert shown(connect(many, name, address)) == certificate


def test_random_names_cost_nothing(many: Contexts) -> None:
    """Only configured names have contexts, whatever clients ask for."""
    before = many.names

    for number in range(20):
        connect(many, f"{number}.random.example")

    assert many.names == before == {
        "mail.example.com", "example.org", "org", "xn--bcher-kva.example", "xn--mller-kva.example",
        "upper.example",
    }  # fmt: skip


def test_wrong_file_of_one_name_is_an_error(file: Path) -> None:
    """A reload then keeps the generation that still has the name's old certificate."""
    Path(f"{file}.mail.example.com").write_bytes(OTHER.certificate_pem + DEFAULT.key_pem)

    with pytest.raises(TlsError, match=r"imapd\.pem\.mail\.example\.com: expected the private key"):
        Contexts.load(TlsOptions(certificate=file))


def test_file_beside_that_is_no_certificate_is_told(file: Path) -> None:
    note = Path(f"{file}.README")
    note.write_bytes(b"where this came from")

    contexts = Contexts.load(TlsOptions(certificate=file))

    assert contexts.warnings == (
        f"{file}.README: ignored: expected a certificate in PEM, found none",
    )


def test_name_with_separate_key_file(tmp_path: Path) -> None:
    """Key files are chosen by the same endings; a name without one uses the default key."""
    (tmp_path / "cert").write_bytes(DEFAULT.certificate_pem)
    (tmp_path / "key").write_bytes(DEFAULT.key_pem)
    (tmp_path / "cert.other.example").write_bytes(OTHER.certificate_pem)
    (tmp_path / "key.other.example").write_bytes(OTHER.key_pem)
    same = AUTHORITY.sign("same.example", key=DEFAULT.key)
    (tmp_path / "cert.same.example").write_bytes(same.certificate_pem)
    own = AUTHORITY.sign("own.example")
    own.combined(tmp_path / "cert.own.example")
    contexts = Contexts.load(
        TlsOptions(certificate=tmp_path / "cert", private_key=tmp_path / "key")
    )

    for name in ("default.example", "other.example", "same.example", "own.example"):
        assert shown(connect(contexts, name)) == name


def test_error_in_the_name_callback_refuses(many: Contexts, file: Path) -> None:
    """CVE-2026-27448: the handshake must not go on with the default certificate."""

    class Broken(dict[str, object]):
        def get(self, *_: object) -> object:
            raise MemoryError

    many._by_name = Broken(x=1)  # type: ignore[assignment]

    client = connect(many, "mail.example.com")

    assert client.stream.failure == "server name: MemoryError()"
    assert not client.stream.is_established
    assert client.wire == b"\x15\x03\x03\x00\x02\x02\x50"
    assert client.error is not None
    assert client.stream.feed(b"more") == b""
    assert client.stream.pending_output() == b""


# --- What is agreed on --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        (None, ""), (["imap"], "imap"), (["http/1.1", "imap"], "imap"), (["managesieve", "pop3"], "pop3"),
        (["pop3", "imap"], "imap"), (["http/1.1"], None), (["h2", "IMAP"], None),
    ],
)  # fmt: skip
def test_alpn(file: Path, offered: list[str] | None, agreed: str | None) -> None:
    """A client that offers other names alone is refused, one that offers none is not."""
    contexts = Contexts.load(TlsOptions(certificate=file, alpn=("imap", "pop3")))

    client = connect(
        contexts, configure=lambda c: c.set_alpn_protocols(offered) if offered else None
    )

    if agreed is None:
        assert client.stream.failure == "no application protocol (ALPN) in common"
        assert client.error is not None
        assert "no application protocol" in str(client.error)
    else:
        assert client.stream.alpn == agreed == (client.tls.selected_alpn_protocol() or "")


def test_alpn_unset_is_not_handled(file: Path) -> None:
    contexts = Contexts.load(TlsOptions(certificate=file))

    client = connect(contexts, configure=lambda c: c.set_alpn_protocols(["http/1.1"]))

    assert (client.stream.is_established, client.stream.alpn) == (True, "")


def test_alpn_of_a_name_is_the_same(file: Path) -> None:
    """A certificate chosen by name doesn't lose the rule."""
    OTHER.combined(Path(f"{file}.other.example"))
    contexts = Contexts.load(TlsOptions(certificate=file, alpn=("imap",)))

    client = connect(
        contexts, "other.example", configure=lambda c: c.set_alpn_protocols(["http/1.1"])
    )

    assert client.stream.failure == "no application protocol (ALPN) in common"


def only(version: ssl.TLSVersion) -> Callable[[ssl.SSLContext], None]:
    def configure(context: ssl.SSLContext) -> None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version

    return configure


V = ssl.TLSVersion


@pytest.mark.filterwarnings("ignore:.*TLSv1:DeprecationWarning")
@pytest.mark.parametrize(
    ("minimum", "client", "is_good"),
    [
        ("TLSv1", V.TLSv1, True), ("TLSv1", V.TLSv1_3, True),
        ("TLSv1.1", V.TLSv1, False), ("TLSv1.1", V.TLSv1_1, True),
        ("TLSv1.2", V.TLSv1_1, False), ("TLSv1.2", V.TLSv1_2, True), ("TLSv1.2", V.TLSv1_3, True),
        ("TLSv1.3", V.TLSv1_2, False), ("TLSv1.3", V.TLSv1_3, True),
    ],
)  # fmt: skip
def test_minimum_version(tmp_path: Path, minimum: str, client: V, is_good: bool) -> None:
    """Old versions work when the setting says so, and are refused otherwise."""
    file = AUTHORITY.sign("default.example", key=RSA).combined(tmp_path / "imapd.pem")
    contexts = Contexts.load(TlsOptions(certificate=file, minimum_version=minimum))  # type: ignore[arg-type]

    connected = connect(contexts, configure=only(client))

    assert connected.stream.is_established is is_good
    if not is_good:
        assert connected.stream.failure == "unsupported protocol"


def test_ciphers(file: Path) -> None:
    """The settings' list counts, and the server's order if they say that."""
    options = TlsOptions(
        certificate=file, ciphers="ECDHE+CHACHA20:ECDHE+AESGCM", server_preference=True,
        ciphersuites="TLS_CHACHA20_POLY1305_SHA256",
    )  # fmt: skip
    contexts = Contexts.load(options)

    assert connect(contexts).stream.protocol == "TLSv1.3,256bits,TLS_CHACHA20_POLY1305_SHA256"
    assert connect(contexts, configure=only(V.TLSv1_2)).stream.protocol == (
        "TLSv1.2,256bits,ECDHE-ECDSA-CHACHA20-POLY1305"
    )
    refused = connect(contexts, configure=dhe)
    assert refused.stream.failure == "no shared cipher"


def test_default_ciphers_have_forward_secrecy(tmp_path: Path) -> None:
    """A client that can exchange keys by RSA alone is refused."""
    file = AUTHORITY.sign("default.example", key=RSA).combined(tmp_path / "imapd.pem")

    def configure(context: ssl.SSLContext) -> None:
        context.maximum_version = V.TLSv1_2
        context.set_ciphers("kRSA")

    assert connect(Contexts.load(TlsOptions(certificate=file)), configure=configure).stream.failure


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        ("ciphers", "TLS_CIPHER_LIST: expected an OpenSSL cipher list, found 'NO-SUCH'"),
        ("ciphersuites", "expected TLS 1.3 cipher suites, found 'NO-SUCH'"),
    ],
)
def test_wrong_ciphers(file: Path, field: str, complaint: str) -> None:
    with pytest.raises(TlsError) as failure:
        Contexts.load(TlsOptions(certificate=file, **{field: "NO-SUCH"}))  # type: ignore[arg-type]

    assert str(failure.value) == complaint


# --- Clients' certificates ------------------------------------------------------------------------------


USER = AUTHORITY.sign(
    "a user",
    fields=[
        (NameOID.EMAIL_ADDRESS, "first@example.com"), (NameOID.EMAIL_ADDRESS, "last@example.com"),
        (NameOID.ORGANIZATION_NAME, "Büro"), (NameOID.USER_ID, "u1"), (NameOID.TITLE, "a\nb"),
    ],
)  # fmt: skip
STRANGER = authority("Another Authority").sign("a stranger")
EXPIRED = AUTHORITY.sign("a former user", days=(-30, -1))


def with_certificate(tmp_path: Path, signed: Signed | None) -> Callable[[ssl.SSLContext], None]:
    def configure(context: ssl.SSLContext) -> None:
        if signed is not None:
            context.load_cert_chain(signed.combined(tmp_path / "client.pem"))

    return configure


@pytest.fixture(params=["file", "folder"])
def trusted(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The authority among others: in a bundle, or in a folder under its name and its hash."""
    another = authority("Unrelated")
    if request.param == "file":
        (tmp_path / "bundle.pem").write_bytes(another.certificate_pem + AUTHORITY.certificate_pem)
        return tmp_path / "bundle.pem"
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "authority.pem").write_bytes(AUTHORITY.certificate_pem)
    (folder / "0123abcd.0").symlink_to("authority.pem")
    (folder / "another.pem").write_bytes(another.certificate_pem)
    (folder / "README").write_bytes(b"no certificate")
    (folder / ".hidden").write_bytes(STRANGER.certificate_pem)
    return folder


@pytest.mark.parametrize("version", [V.TLSv1_2, V.TLSv1_3])
@pytest.mark.parametrize(
    ("verify", "signed", "failure"),
    [
        ("peer", USER, None),
        ("require", USER, None),
        ("peer", None, None),
        ("require", None, "peer did not return a certificate"),
        ("peer", STRANGER, "Peer's certificate not signed by a trusted authority"),
        ("require", EXPIRED, "Peer's certificate has expired"),
    ],
)
def test_verification(
    tmp_path: Path, file: Path, trusted: Path, verify: str, signed: Signed | None,
    failure: str | None, version: V,
) -> None:  # fmt: skip
    """A certificate is believed if an authority of ours signed it; a bad one ends the handshake."""
    contexts = Contexts.load(
        TlsOptions(certificate=file, verify=verify, trusted=trusted)  # type: ignore[arg-type]
    )

    def configure(context: ssl.SSLContext) -> None:
        with_certificate(tmp_path, signed)(context)
        context.maximum_version = version

    client = connect(contexts, configure=configure)

    assert client.stream.failure == failure
    assert client.stream.is_established is (failure is None)
    assert client.stream.subject() == (
        {"CN": "a user", "EMAILADDRESS": "last@example.com", "O": "Büro", "UID": "u1"}
        if signed is USER
        else {}
    )


def test_no_verification_asks_for_no_certificate(tmp_path: Path, file: Path) -> None:
    """And reads no authorities: Debian's default is a bundle of all the world's."""
    contexts = Contexts.load(TlsOptions(certificate=file, trusted=tmp_path / "missing"))

    client = connect(contexts, configure=with_certificate(tmp_path, STRANGER))

    assert (client.stream.is_established, client.stream.subject()) == (True, {})


def test_verification_by_name(tmp_path: Path, file: Path) -> None:
    """A certificate chosen by name doesn't lose the rule."""
    OTHER.combined(Path(f"{file}.other.example"))
    (tmp_path / "ca").write_bytes(AUTHORITY.certificate_pem)
    contexts = Contexts.load(
        TlsOptions(certificate=file, verify="require", trusted=tmp_path / "ca")
    )

    good = connect(contexts, "other.example", configure=with_certificate(tmp_path, USER))
    bad = connect(contexts, "other.example", configure=with_certificate(tmp_path, STRANGER))

    assert good.stream.subject()["UID"] == "u1"
    assert bad.stream.failure == "Peer's certificate not signed by a trusted authority"


@pytest.mark.parametrize(
    ("trusted_name", "complaint"),
    [
        (None, "TLS_VERIFYPEER: expected TLS_TRUSTCERTS with it, found none"),
        ("missing", "{path}: can't be read: No such file or directory"),
        ("empty", "{path}: expected certificates (BEGIN CERTIFICATE), found none"),
        ("folder", "{path}: expected files with certificates in this folder, found none"),
    ],
)
def test_verification_without_authorities(
    tmp_path: Path, file: Path, trusted_name: str | None, complaint: str
) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    path = tmp_path / trusted_name if trusted_name else None

    with pytest.raises(TlsError) as failure:
        Contexts.load(TlsOptions(certificate=file, verify="peer", trusted=path))

    assert str(failure.value) == complaint.format(path=path)


# --- Processes --------------------------------------------------------------------------------------


def in_child(work: Callable[[], bytes]) -> bytes:
    """Run ``work`` in a forked process and return what it returns."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, work())
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        return pipe.read()


@pytest.mark.parametrize("version", [V.TLSv1_2, V.TLSv1_3])
def test_forked_processes_resume_each_others_sessions(
    tmp_path: Path, file: Path, version: V
) -> None:
    """Contexts loaded before a fork share the keys of tickets; a client's certificate survives."""
    (tmp_path / "ca").write_bytes(AUTHORITY.certificate_pem)
    contexts = Contexts.load(TlsOptions(certificate=file, verify="peer", trusted=tmp_path / "ca"))
    context = client_context(configure=with_certificate(tmp_path, USER))
    context.maximum_version = version
    first = Client(contexts.stream("127.0.0.1"), context).handshake()
    first.read()
    session = first.tls.session

    def resume() -> bytes:
        second = Client(contexts.stream("127.0.0.1"), context, session=session).handshake()
        return repr((second.tls.session_reused, second.stream.subject().get("UID"))).encode()

    assert in_child(resume) == b"(True, 'u1')"


@pytest.mark.parametrize("version", [V.TLSv1_2, V.TLSv1_3])
@pytest.mark.parametrize("is_reload", [True, False])
def test_sessions_are_not_resumed(file: Path, version: V, is_reload: bool) -> None:
    """Not with the keys of another generation, and not when resumption is off."""
    options = TlsOptions(certificate=file, resumption=is_reload)
    contexts = Contexts.load(options)
    context = client_context()
    context.maximum_version = version
    first = Client(contexts.stream("127.0.0.1"), context).handshake()
    first.read()

    if is_reload:
        contexts = Contexts.load(options)
    second = Client(contexts.stream("127.0.0.1"), context, session=first.tls.session).handshake()

    assert (second.tls.session_reused, second.stream.is_established) == (False, True)


def test_nothing_is_opened_after_loading(tmp_path: Path, many: Contexts, file: Path) -> None:
    """A process that can open no file serves all that was configured, and refuses as it should."""
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "authority.pem").write_bytes(AUTHORITY.certificate_pem)
    contexts = Contexts.load(
        TlsOptions(certificate=file, verify="peer", trusted=folder, alpn=("imap",))
    )
    user = client_context(configure=with_certificate(tmp_path, USER))
    stranger = client_context(configure=with_certificate(tmp_path, STRANGER))

    def serve() -> bytes:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        try:
            os.open("/dev/null", os.O_RDONLY)
        except OSError:
            pass
        else:
            return b"this test is no test"
        named = Client(contexts.stream("192.0.2.1"), user, "imap.example.org").handshake()
        heard = named.say(b"a NOOP\r\n")
        refused = Client(contexts.stream("127.0.0.1"), stranger).handshake()
        binding = named.stream.channel_binding("tls-exporter")
        assert heard == b"a NOOP\r\n"
        assert binding is not None
        return repr((shown(named), named.stream.subject()["CN"], refused.stream.failure)).encode()

    assert in_child(serve) == (
        b"('example.org', 'a user', \"Peer's certificate not signed by a trusted authority\")"
    )


# --- Changes ------------------------------------------------------------------------------------------


def changes(tmp_path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    file = tmp_path / "imapd.pem"
    yield "renewed", lambda: OTHER.combined(tmp_path / "new").rename(file)
    yield "a name added", lambda: OTHER.combined(Path(f"{file}.other.example"))
    yield "a name removed", lambda: Path(f"{file}.other.example").unlink()
    yield "mode", lambda: file.chmod(0o600)
    yield "dh", lambda: (tmp_path / "dh").write_bytes(b"x")
    yield "authority", lambda: (tmp_path / "certs" / "a.pem").write_bytes(b"x")
    yield "key", lambda: (tmp_path / "key").write_bytes(b"x")
    yield "key of a name", lambda: (tmp_path / "key.other.example").write_bytes(b"x")
    yield "chain", lambda: (tmp_path / "chain").write_bytes(b"x")


def test_stamp(tmp_path: Path, file: Path) -> None:
    """Every change of a file that would be read changes it, and nothing else does."""
    (tmp_path / "certs").mkdir()
    options = TlsOptions(
        certificate=file, private_key=tmp_path / "key", chain=tmp_path / "chain",
        dh_parameters=tmp_path / "dh", verify="peer", trusted=tmp_path / "certs",
    )  # fmt: skip
    for what, change in changes(tmp_path):
        before = stamp(options)
        assert stamp(options) == before
        change()
        assert stamp(options) != before, what

    before = stamp(options)
    (tmp_path / "unrelated").write_bytes(b"x")
    assert stamp(options) == before


def test_contexts_know_their_stamp(file: Path) -> None:
    """Equal until a file changes: what master asks for now and then."""
    options = TlsOptions(certificate=file)
    contexts = Contexts.load(options)
    assert contexts.stamp == stamp(options)

    OTHER.combined(file)

    assert contexts.stamp != stamp(options)
    assert shown(connect(contexts)) == "default.example"
    assert shown(connect(Contexts.load(options))) == "other.example"
