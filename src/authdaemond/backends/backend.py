"""What a backend offers, and what it may say instead of an account."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from authdaemond import log
from authdaemond.backends import comparison
from courier.auth import base64, hmac_state, passwords
from courier.auth.account import Account, Secret
from courier.auth.base64 import NoBase64
from courier.auth.hmac_state import Hash
from courier.auth.request import Authenticate, ChangePassword, Lookup


class Rejected(Exception):
    """Unknown userid, wrong password, or not this backend's business: the next one is asked.

    ``delay_s``: how long who tries passwords should be made to wait. ``reply``: what goes with it.
    """

    def __init__(self, delay_s: float = 0.0, reply: bytes = b"") -> None:
        super().__init__()
        self.delay_s = delay_s
        self.reply = reply


class Unavailable(Exception):
    """It can't be said now; no other backend is asked. The text is for the log."""


class Backend:
    """A source of accounts, in a worker process that answers one request at a time.

    Methods raise `Rejected` or `Unavailable`; an `OSError` counts as the latter. What isn't
    overridden rejects. Userids and services hold no control characters and aren't empty.
    """

    #: Whether its workers stay root.
    NEEDS_ROOT = False
    #: Whether it can list its accounts.
    LISTS = True
    #: Files of this machine that its passwords come from: when one changes, so may they.
    FILES: tuple[Path, ...] = ()

    def lookup(self, request: Lookup) -> Account:
        """Return an account without looking at a password."""
        raise Rejected

    def login(self, request: Authenticate) -> Account:
        """Return the account whose userid and password are ``first`` and ``second``."""
        raise Rejected

    def cram(self, request: Authenticate) -> Account:
        """Return the account that has answered a challenge, which `response` takes apart."""
        raise Rejected

    def scram(self, request: Authenticate, mechanism: bytes) -> Account:
        """Return an account without looking at a proof: ``clear``, or ``passwd`` with a secret of
        SCRAM's, is what one can be checked by. The userid is ``first``.
        """
        return self.lookup(Lookup(request.service, request.first, remote_ip=request.remote_ip))

    def token(self, request: Authenticate) -> bytes:
        """Say whose a token is: a userid, a line feed, and what is said to who gets no account."""
        raise Rejected

    def change_password(self, request: ChangePassword) -> None:
        raise Rejected

    def accounts(self) -> Iterator[Account]:
        """Yield all accounts."""
        return iter(())

    def check(self) -> None:
        """Read what this backend is set up by, for ``authdaemond -n``. No server is asked."""


class Response:
    """What a client answered to a challenge: CRAM-MD5 and its like."""

    def __init__(self, function: Hash, challenge: bytes, userid: bytes, digest: bytes) -> None:
        self.function = function
        self.userid = userid
        self._challenge = challenge
        self._digest = digest

    def fits_secret(self, stored: bytes) -> bool:
        """Whether the password is the one that a stored pair of states was made of."""
        return hmac_state.fits(self.function, stored, self._challenge, self._digest)

    def fits_password(self, password: Secret) -> bool:
        return self.fits_secret(hmac_state.secret(self.function, password.reveal()))


def response(request: Authenticate) -> Response:
    """Take challenge and response apart; the userid ends at the response's last blank.

    Raises:
        Rejected: another authtype, or no such form.
    """
    prefix, _, name = request.authtype.decode("latin-1").partition("-")
    if prefix != "cram":
        log.debug("Unsupported authentication type: %s", request.authtype)
        raise Rejected
    log.cram(request.first, request.second)
    try:
        function = hmac_state.HASHES[name]
        challenge = base64.decode(request.first)
        userid, blank, digest = base64.decode(request.second.reveal()).rpartition(b" ")
    except (KeyError, NoBase64):
        log.debug("cram: invalid base64 encoding, or unknown method: %s", request.authtype)
        raise Rejected from None
    if not blank or not userid or any(octet < 32 or octet == 127 for octet in userid):
        log.debug("cram: invalid base64 encoding")
        raise Rejected
    log.debug("cram: decoded challenge/response, username '%s'", userid)
    return Response(function, challenge, userid, digest)


def check_cram(answer: Response, stored: Secret | None) -> None:
    """Compare a client's response with the one that the password itself would give.

    Raises:
        Rejected: it is another, or only a hash of the password is stored.
    """
    fits = bool(stored) and stored is not None and answer.fits_password(stored)
    log.cram_result(fits)
    if not fits:
        raise Rejected


def text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def check_password(stored: Secret | None, given: Secret) -> None:
    """Compare a password with the stored one.

    Raises:
        Rejected: it is another, or there is none to compare it with.
    """
    if stored is None:
        log.debug("no password available to compare.")
        raise Rejected
    comparison.with_stored(stored)
    if not passwords.fits(given.reveal(), stored.reveal()):
        log.password_differs(given, stored)
        raise Rejected
    log.password_fits()
