"""Commands that are killed at work, as by `kill -9`, in a chosen call of a function.

A test that watches a process and kills it from outside may come too late on a busy machine.
"""

import os
import signal
import subprocess
import sys
from functools import reduce
from importlib import import_module
from itertools import count

from tests.waiting import PATIENCE


def die_in(place):
    """Kills this process in a call of a function; `place` is `module:function:number`, and 1 is the first call."""
    module, path, number = place.split(":")
    *owners, name = path.split(".")
    owner = reduce(getattr, owners, import_module(module))
    real, calls = getattr(owner, name), count(1)

    def dying(*words, **named):
        if next(calls) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*words, **named)

    setattr(owner, name, dying)


def torchrun_of_a_dying_rank(num_ranks, words, *, place):
    """The ended run of `zoo WORDS...` under the real torchrun, whose last rank dies in a place."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", num_ranks]
    command += ["-m", "tests.dying", "--", *words]  # without `--`, torchrun takes `--max` and `--n` for its own options
    environment = os.environ | {"DIES_IN": place}
    run = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, env=environment, timeout=PATIENCE
    )
    assert run.returncode != 0 and f"exitcode  : {-signal.SIGKILL}" in run.stderr, run.stderr
    return run


if __name__ == "__main__":
    from zoo.cli.app import main

    if int(os.environ["RANK"]) + 1 == int(os.environ["WORLD_SIZE"]):
        die_in(os.environ["DIES_IN"])
    main()
