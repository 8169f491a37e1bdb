"""A connection's whole life, plain and TLS, through all processes."""

from __future__ import annotations

import pytest

from tests.support.daemon import Daemon


@pytest.mark.fast
def test_connection_ends_when_the_session_does(imapd: Daemon) -> None:
    """Behind the completion of LOGOUT comes the end of the stream: no process kept the socket."""
    with imapd.session() as client:
        client.send(b"x LOGOUT\r\n")

        assert client.rest() == (
            b"* BYE Courier-IMAP server shutting down\r\nx OK LOGOUT completed\r\n"
        )


@pytest.mark.fast
def test_tls_connection_ends_when_the_session_does(imapd_ssl: Daemon) -> None:
    """The same over TLS."""
    with imapd_ssl.session() as client:
        client.send(b"x LOGOUT\r\n")

        assert client.rest() == (
            b"* BYE Courier-IMAP server shutting down\r\nx OK LOGOUT completed\r\n"
        )
