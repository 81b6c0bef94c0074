"""The transfer study: plans its runs, executes them, and collects tables, figures and answers to claims."""
