"""A connection's encryption, as log-ins look at it."""

from __future__ import annotations

from collections.abc import Iterable

from courier.auth import sasl
from courier.process.login_request import Stranger


class Encryption:
    """Whether there is one, may be one, must be one; and whom the client's certificate names."""

    def __init__(
        self,
        stranger: Stranger,
        *,
        has_tls: bool,
        starttls: bool,
        is_required: bool,
        external: str | None,
        mechanisms: Iterable[str] = (),
    ) -> None:
        """Take settings.

        Args:
            has_tls: certificates are loaded.
            starttls: a client may ask for encryption in mid-connection.
            external: the field of a certificate's subject that names an account (TLS_EXTERNAL).
            mechanisms: those of SASL's that the administrator has chosen.
        """
        self._stranger = stranger
        self._can_start = has_tls and starttls
        self._is_required = is_required
        self._external = external
        self._mechanisms = tuple(mechanisms)

    @property
    def is_on(self) -> bool:
        return self._stranger.tls is not None

    @property
    def is_offered(self) -> bool:
        return self._can_start and not self.is_on

    @property
    def is_lacking(self) -> bool:
        """Whether nobody may log in as things are. Courier: only where STARTTLS can be had."""
        return self._is_required and not self.is_on

    @property
    def identity(self) -> bytes:
        """Whom the client's certificate names, if it has one that counts."""
        tls = self._stranger.tls
        subject = {} if tls is None else tls.subject()
        return sasl.external_identity(subject, self._external)

    @property
    def offer(self) -> sasl.Offer:
        """The mechanisms that this connection has beside Courier's; none where nobody may log in."""
        if self.is_lacking:
            return sasl.NOTHING
        tls = self._stranger.tls
        return sasl.offered(self._mechanisms, None if tls is None else tls.channel_binding)
