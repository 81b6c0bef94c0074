"""`python -m zoo`, for torchrun and for environments without the console script."""

from zoo.cli.app import main

main()
