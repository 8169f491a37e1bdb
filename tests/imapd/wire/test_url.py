from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imapd.wire import url
from imapd.wire.section import Section, SectionText
from imapd.wire.url import BadUrl, MessageUrl, Server

HERE = MessageUrl(None, "INBOX", None, 20, Section(), None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"/INBOX/;UID=20", HERE),
        (b"INBOX/;uid=20", HERE),
        (b"/;UID=20", MessageUrl(None, "", None, 20, Section(), None)),
        (b";UID=20", MessageUrl(None, "", None, 20, Section(), None)),
        (
            b"/a%20b/%C3%A9.c;UIDVALIDITY=385759045/;UID=20/;section=1.2.MIME",
            MessageUrl(None, "a b/é.c", 385759045, 20, Section((1, 2), SectionText.MIME), None),
        ),
        (
            b"/INBOX/;UID=20/;SECTION=HEADER.FIELDS%20(To%20Cc)/;PARTIAL=3.10",
            MessageUrl(
                None,
                "INBOX",
                None,
                20,
                Section((), SectionText.HEADER_FIELDS, (b"To", b"Cc")),
                (3, 10),
            ),
        ),
        (b"/INBOX/;UID=20/;PARTIAL=0", MessageUrl(None, "INBOX", None, 20, Section(), (0, None))),
        (
            b"imap://joe%40x;AUTH=*@Mail.Example:143/INBOX/;UID=20",
            MessageUrl(Server("joe@x", "mail.example"), "INBOX", None, 20, Section(), None),
        ),
        (
            b"//mail.example/INBOX/;UID=20",
            MessageUrl(Server(None, "mail.example"), "INBOX", None, 20, Section(), None),
        ),
    ],
)
def test_url(text: bytes, expected: MessageUrl) -> None:
    assert url.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"/",
        b"/INBOX",
        b"/INBOX;UIDVALIDITY=1",
        b"/INBOX?TEXT%20x",
        b"/INBOX;UID=20",
        b"/INBOX;UIDVALIDITY=1;UID=20",
        b"/INBOX/;UID=0",
        b"/INBOX/;UID=4294967296",
        b"/INBOX/;UID=20/;SECTION=",
        b"/INBOX/;UID=20/;SECTION=MIME",
        b"/INBOX/;UID=20/;SECTION=1]",
        b"/INBOX/;UID=20/;SECTION=FOO",
        b"/INBOX/;UID=20/;PARTIAL=1.0",
        b"/INBOX/;UID=20/;PARTIAL=x",
        b"/INBOX/;UID=20;EXPIRE=2030-01-01T00:00:00Z;URLAUTH=anonymous:internal:x",
        b"/INBOX/;UID=20/;URLAUTH=anonymous",
        b"/IN%BOX/;UID=20",
        b"/%FF/;UID=20",
        b"http://x/INBOX/;UID=20",
        b"mailto:x",
        b"imap:///;UID=1",
        b"/INBOX/;UID=20#x",
    ],
)
def test_what_is_none(text: bytes) -> None:
    with pytest.raises(BadUrl):
        url.parse(text)


@given(
    st.lists(
        st.sampled_from(
            [
                b"/",
                b";UID=",
                b"1",
                b"%2",
                b";SECTION=",
                b"TEXT",
                b"imap:",
                b"//",
                b"@",
                b"\xff",
                b";",
            ]
        ),
        max_size=30,
    )
)
def test_anything(pieces: list[bytes]) -> None:
    """A URL, or BadUrl."""
    try:
        found = url.parse(b"".join(pieces))
    except BadUrl:
        return
    assert found.uid > 0


def test_long() -> None:
    """Nothing that a client can send takes long."""
    for text in (b"/;UID=" * 10_000, b"%41" * 20_000, b"imap://" + b"a" * 60_000, b"@" * 60_000):
        with pytest.raises(BadUrl):
            url.parse(text)
