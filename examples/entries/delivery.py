"""Delivers an entry as its users get it: push, pull, verify, serve with TorchServe, predict."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from examples.entries.build import inside
from examples.entries.table import CHECKPOINT, Entry
from examples.running import loopback_hub, say, served, zoo

IMAGE_NUMBER = 3
PULLED, IMAGE, ANSWER = Path("pulled"), Path("image.png"), Path("answer.json")


def deliver(name: str, entry: Entry, output: Path) -> None:
    """Pushes the entry to a Hub on this machine, pulls it back and serves it; writes the answer to `answer.json`.

    Exits with 1 if the pulled files differ from the pushed ones, or if the answer names another model.
    """
    from training.tasks import open_task
    from zoo.checkpoints.checkpoint import open_checkpoint
    from zoo.cli._options import DATA_DIR

    say(f"Push {name} to a Hub on this machine, and pull it back")
    with inside(output):
        shutil.rmtree(PULLED, ignore_errors=True)
        with loopback_hub(cache=Path("hub-cache").absolute()):
            zoo("push", CHECKPOINT, f"demo/{name}")
            zoo("pull", f"demo/{name}", PULLED)
        zoo("verify", PULLED)
        checkpoint = open_checkpoint(PULLED)
        if checkpoint.files != open_checkpoint(Path(CHECKPOINT)).files:
            sys.exit(f"the pulled {output / PULLED} differs from the pushed {output / CHECKPOINT}")

        say(f"Serve it, and send test image {IMAGE_NUMBER}")
        data_dir = Path(os.environ.get("ZOO_DATA_DIR", DATA_DIR)).absolute()
        picture = open_task(entry.task, data_dir=data_dir).test[IMAGE_NUMBER]
        picture.save(IMAGE)
        with served(PULLED) as url:
            answer = zoo("predict", IMAGE, "--url", url, "--json")
        ANSWER.write_text(answer)
        if json.loads(answer)["model"]["sha256"] != checkpoint.weights_sha256:
            sys.exit("the server's answer names another model than the pulled one")
