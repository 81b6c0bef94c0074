"""A container probe: exit code 0 if the server of `zoo serve --metrics-port 8082` is healthy, else 1 with the reason.

    python probe.py ready | live [--url http://127.0.0.1:8082]

Uses only the standard library, and therefore starts within a twentieth of a second.
"""

import argparse
import json
import sys
import urllib.error
import urllib.request

SECONDS = 5.0


def main() -> int:
    """Queries the endpoint; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=("ready", "live"))
    parser.add_argument("--url", default="http://127.0.0.1:8082")
    arguments = parser.parse_args()
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{arguments.url}/{arguments.question}", timeout=SECONDS):
            return 0
    except urllib.error.HTTPError as error:
        reason = _reason(error.read()) or f"HTTP {error.code}"
    except OSError as error:
        reason = str(error)
    sys.stderr.write(f"{reason}\n")
    return 1


def _reason(body: bytes) -> str | None:
    try:
        return str(json.loads(body)["reason"])
    except (ValueError, KeyError, TypeError):
        return None


if __name__ == "__main__":
    sys.exit(main())
