"""`python3 -m bench.imap`: our imapd beside Courier's and Dovecot's on large folders."""
