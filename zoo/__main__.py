"""Runs `python -m zoo`, for torchrun and for environments without the console script."""

import sys
from pathlib import Path

# `-m` puts the working folder first on the import path, where a user's own `yaml.py` would shadow the library. The
# console script `zoo` imports nothing from that folder. The same holds here, unless that folder contains zoo itself.
if sys.path[0] == str(Path.cwd()) != str(Path(__file__).parents[1]):
    del sys.path[0]

from zoo.cli.app import main

main()
