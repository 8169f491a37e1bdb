"""The wire: bytes to values and back, without I/O (RFC 3501 9)."""
