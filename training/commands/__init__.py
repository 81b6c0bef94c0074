"""The commands of `training`, one per file. A command parses, calls one function and prints.

A command imports the modules that compute inside its function, so that `zoo --help` does not load them.
"""
