"""The commands of `training`, one a file. A command parses, calls one function and prints.

What computes is imported inside a command, so that `zoo --help` needs none of it.
"""
