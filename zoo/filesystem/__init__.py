"""Files that are whole or as they were, and locks between processes."""
