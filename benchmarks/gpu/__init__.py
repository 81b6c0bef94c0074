"""Checks and measures everything that needs a GPU, in one run of some minutes.

    python -m benchmarks.gpu --output DIR

__main__     the command
table        the sections, most informative first
runner       runs the sections and isolates their failures
worker       the process in which sections run
settings     the input of a section
findings     the output of a section
report       gpu.json and summary.md

The other modules contain the sections and their shared code: timing, networks, racing, fused_noise, device_loop.
"""
