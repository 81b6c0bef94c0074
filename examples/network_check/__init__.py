"""What no test can reach, checked on a machine with a network: the catalog's files, the Hub, the tasks' downloads.

    python -m examples.network_check --output DIR

What passed is not done again by the next run in the same directory; everything else is. `DIR/network_check.json` is
rewritten after every step.
"""
