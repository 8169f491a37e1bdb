"""SMAP1, Courier's own protocol: a session that imapd serves in place of one of IMAP."""
