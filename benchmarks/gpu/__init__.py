"""Everything that wants a GPU, in one run of some minutes: does it work, does it agree, how fast is it.

    python -m benchmarks.gpu --output DIR

__main__     the command
table        the sections, most informative first
runner       runs them, whatever happens in one
worker       the process that they run in
settings     what a section is given
findings     what a section gives back
report       gpu.json and summary.md

The other modules hold the sections, and what they share: timing, networks, racing, fused_noise, device_loop.
"""
