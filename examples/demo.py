"""An end-to-end demo in one command: train, measure, push, pull, serve, predict. `make demo` runs it.

All parts are real except the Hub, which is a loopback server that speaks the Hub's protocol. The demo therefore needs
neither an account nor a network. Its files stay in `runs/demo`.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

from examples.running import loopback_hub, say, served, zoo

FOLDER = Path("runs/demo")
TASK = "digits"
IMAGE_NUMBER = 3
LEAST_RADIUS = 0.5
LEAST_ACCURACY = 0.9


def main() -> None:
    """Runs the demo; exits with 1 if its network misses the required accuracy or radius."""
    started = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    trained, pulled, rows = FOLDER / "trained", FOLDER / "pulled", FOLDER / "certification.tsv"

    say("Train a small residual network on real digits with consistency regularization")
    method = ["--objective", "consistency", "--architecture", "resnet10-quarter", "--set", "epochs=20"]
    zoo("train", "--task", TASK, *method, "--output", trained)
    say("Measure its accuracy under noise, and certify every third test image")
    zoo("evaluate", trained, "--task", TASK, "--noise-sigmas", "0.1,0.5", "--record")
    zoo("certify", trained, "--task", TASK, "--skip", 3, "--n", 1000, "--record", "--output", rows)
    report = json.loads(zoo("report", rows, "--json", "--figure", FOLDER / "certified_accuracy.png", show=False))[0]

    say("Push it to a Hub on this machine, and pull it back")
    with loopback_hub(cache=FOLDER / "hub-cache"):
        zoo("push", trained, "demo/digits")
        zoo("pull", "demo/digits", pulled)

    say(f"Serve it, and send test image {IMAGE_NUMBER}")
    image = save_test_image(FOLDER / "digit.png")
    with served(pulled) as url:
        answer = zoo("predict", image, "--url", url, "--json", show=False)

    accuracy = next(p["accuracy"] for p in report["certified_accuracy"] if p["radius"] == LEAST_RADIUS)
    radius = json.loads(answer)["certificate"]["radius"]
    say(
        f"Done in {time.monotonic() - started:.0f} s. Certified accuracy at radius 0.5: {accuracy:.3f} on "
        f"{report['num_images']} images. The HTTP answer:"
    )
    print(answer, end="", flush=True)
    if accuracy < LEAST_ACCURACY or radius < LEAST_RADIUS:
        sys.exit(
            f"certified accuracy is {accuracy:.3f} and the radius {radius:.3f}; "
            f"the demo requires at least {LEAST_ACCURACY} and {LEAST_RADIUS}"
        )


def save_test_image(path: Path) -> Path:
    """Saves one test image of the task as a file; returns the path."""
    from training.tasks import open_task

    open_task(TASK, data_dir=FOLDER).test[IMAGE_NUMBER].save(path)
    return path


if __name__ == "__main__":
    main()
