"""Messages: a scanner on bytes with offsets (RFC 5322, RFC 2045, RFC 2047)."""
