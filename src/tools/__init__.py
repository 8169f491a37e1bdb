"""The command line tools, one module each: `main(arguments)` returns the exit code."""
