"""imapd: the IMAP server."""
