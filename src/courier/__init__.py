"""The shared core: knows no protocol and no program."""
