"""The benchmark of POP3 sessions: `python3 -m bench.pop3`."""
