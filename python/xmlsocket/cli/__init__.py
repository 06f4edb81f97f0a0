"""The command line: one module for each command, on top of the package's public names."""
