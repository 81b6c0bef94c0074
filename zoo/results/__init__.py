"""Certification results: the rows of the logs, the numbers computed from the rows, and the figures."""
