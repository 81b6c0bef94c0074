"""Serves a checkpoint with plain ASGI instead of TorchServe: `python -m examples.second_front MODEL`."""

from __future__ import annotations

import argparse
import signal

from serving.asgi import application
from serving.loopback import running
from serving.protocol import Limits
from serving.service.loading import load_service
from zoo.loading.device import pick_device
from zoo.loading.locate import locate


def main() -> None:
    """Serves on the loopback address until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a checkpoint directory or a Hub id")
    parser.add_argument("--port", type=int, default=8080, help="the port; 0 picks a free one")
    arguments = parser.parse_args()
    service = load_service(locate(arguments.model), device=str(pick_device("auto")), limits=Limits(), spins=True)
    with running(application(service), port=arguments.port) as url:
        print(f"ready: {url}/predictions/{service.spec.name}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
