"""SMAP1, Courier's own protocol: a session that imapd serves in place of one of IMAP.

It begins with a log-in whose tag is `TAG` (`imapd.login`). The modules are loaded when somebody wants them.
"""

from imapd.completion import Farewell

#: As the log and Courier's programs name the protocol.
NAME = "SMAP1"
TAG = b"\\SMAP1"
GREETING = b"+OK SMAP1 LOGIN Ok.\n"


def bye(farewell: Farewell) -> bytes:
    """Say why a session ends, or does not begin. Courier: what is nobody's fault as an error."""
    status = "-ERR" if farewell.is_orderly else "* BYE"
    return f"{status} {farewell.text}\r\n".encode()
