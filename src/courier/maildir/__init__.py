"""The store: Maildir++ in Courier's formats, folder by folder (doc/store.md)."""
