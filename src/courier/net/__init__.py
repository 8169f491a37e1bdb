"""The network before a session: listeners, who may connect, TLS. Knows no mail protocol."""
