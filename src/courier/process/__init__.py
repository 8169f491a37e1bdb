"""Processes: the drivers that run command handlers."""
