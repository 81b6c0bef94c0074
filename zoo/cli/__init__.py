"""The `zoo` command line. Each command is in the package that it belongs to and is imported when it is called."""
