"""`python -m zoo`, for torchrun and for environments without the console script."""

import sys
from pathlib import Path

# `-m` makes the working folder the first place to import from, where a `yaml.py` of the user's would be taken for the
# library. The script `zoo` imports nothing from there, and neither do we, unless zoo itself lies there.
if sys.path[0] == str(Path.cwd()) != str(Path(__file__).parents[1]):
    del sys.path[0]

from zoo.cli.app import main

main()
