"""What the package shares with its host: files that others write too, locks, settings of the process."""
