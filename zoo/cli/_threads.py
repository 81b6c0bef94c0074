"""How OpenMP's idle threads wait in the processes of the command line."""

import os

SPIN_COUNT = "30000"  # see docs/decisions/0031-idle-threads-sleep.md; libgomp's default is 300,000


def limit_spinning() -> None:
    """Lets idle threads of libgomp sleep after a short spin, unless the user has set how they wait.

    By default they spin for milliseconds. Beside other busy processes that takes the cores from the threads that they
    wait for. libgomp reads the variable once, when torch is loaded, and child processes inherit it.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
