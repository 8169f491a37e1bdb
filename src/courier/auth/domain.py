"""DEFDOMAIN and DOMAINSEP: the domain that a userid without one gets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DefaultDomain:
    """``domain`` with its separator, as `@example.com`; None: userids stay as they are.

    A userid that holds one of ``separators`` has a domain; None: only the domain's own separator
    counts. Looking up an account without a password, and EXTERNAL, never add a domain.
    """

    domain: str | None = None
    separators: str | None = None

    def complete(self, userid: bytes) -> bytes:
        domain = (self.domain or "").encode("utf-8", "surrogateescape")
        separators = (self.separators or "").encode("utf-8", "surrogateescape") or domain[:1]
        if set(separators) & set(userid):
            return userid
        return userid + domain
