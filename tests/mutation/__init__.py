"""Mutation tests of the modules that carry the guarantee: `python -m tests.mutation` (docs/mutation.md)."""
