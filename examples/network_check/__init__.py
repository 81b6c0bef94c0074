"""Checks that need a network: the catalog's files, the Hub, the tasks' downloads.

    python -m examples.network_check --output DIR

A later run in the same directory repeats only the steps that did not pass. Every step updates
`DIR/network_check.json`.
"""
