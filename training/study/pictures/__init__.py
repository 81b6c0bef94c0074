"""The report of the pictures study: its claims, tables and figure."""
