"""getmail, as its tests over POP3 and IMAP run it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.clients.conftest import Run
from tests.support.lmtp import lmtp_server


def getmail(
    run: Run, home: Path, port: int, retriever: str, userid: str, password: str
) -> list[bytes]:
    """Fetch what is new from a server, leave it there, and return it.

    home keeps what getmail remembers from one call to the next; retriever is the first lines of its section.
    It delivers by LMTP: for a maildir it forks, and waits in vain for a child that ends before it begins to wait.
    """
    home.mkdir(exist_ok=True)
    # The state is kept by server, port and user: a new port would be another mailbox.
    for state in home.glob("oldmail-*"):
        state.rename(home / re.sub(r"-\d{4,5}-", f"-{port}-", state.name))
    with lmtp_server() as (lmtp_port, messages):
        (home / "getmailrc").write_text(
            f"""[retriever]
{retriever}
server = 127.0.0.1
port = {port}
username = {userid}
password = {password}
[destination]
type = MDA_lmtp
host = 127.0.0.1
port = {lmtp_port}
override = {userid}
[options]
delete = false
read_all = false
delivered_to = false
received = false
verbose = 0
"""
        )
        run("getmail", "-g", str(home), "-r", "getmailrc")
        return messages
