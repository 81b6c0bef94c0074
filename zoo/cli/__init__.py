"""The `zoo` shell. Its commands live in the packages they belong to and are imported when they are called."""
