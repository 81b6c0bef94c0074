"""A probe for containers: exit code 0 if the server of `zoo serve --metrics-port 8082` is well, 1 with a reason if not.

    python probe.py ready | live [--url http://127.0.0.1:8082]

The standard library only, so that it starts in a twentieth of a second.
"""

import argparse
import json
import sys
import urllib.error
import urllib.request

SECONDS = 5.0


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=("ready", "live"))
    parser.add_argument("--url", default="http://127.0.0.1:8082")
    asked = parser.parse_args()
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{asked.url}/{asked.question}", timeout=SECONDS):
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
