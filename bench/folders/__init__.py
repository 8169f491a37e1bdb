"""`python3 -m bench.folders`: our imapd beside Courier's and Dovecot's on an account of many folders."""
