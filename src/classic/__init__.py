"""Courier's programs around its servers, for scripts and third-party servers that call them."""
