"""The transfer study: which runs it has, running them, and what its tables, figures and claims become."""
