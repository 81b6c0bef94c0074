"""Mutation tests of the modules that carry the guarantee: `python -m tests.mutation`; docs/contributing/mutation.md."""
