"""An environment with the clients of KServe and Triton, whose pins differ from ours. The user's cache keeps it."""

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

PACKAGES = ("kserve==0.21.0", "tritonclient[http]==2.73.0")


def python_of_environment(folder: Path) -> Path:
    """The Python of the environment, made at the first run. Skips the test if PyPI cannot be reached."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "certified-zoo" / "test-environments"
    key = hashlib.sha256(repr((PACKAGES, sys.version)).encode()).hexdigest()[:16]
    environment, is_made = caches / key, caches / f"{key}.made"
    caches.mkdir(parents=True, exist_ok=True)
    with (caches / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_made.exists():
            venv.create(environment, with_pip=True, clear=True)
            install(environment / "bin" / "python", folder)
            is_made.touch()
    return environment / "bin" / "python"


def install(python: Path, folder: Path) -> None:
    """Installs the packages; `folder` is for a probe of PyPI."""
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    environment = {name: value for name, value in os.environ.items() if name != "SSL_CERT_DIR"}
    if certificates := os.environ.get("OWN_SSL_CERT_FILE"):  # tests/conftest.py keeps it under this name
        environment["SSL_CERT_FILE"] = certificates
    done = subprocess.run([*pip, "install", *PACKAGES], env=environment, capture_output=True, text=True)
    if done.returncode == 0:
        return
    words = ["download", "--no-deps", "--no-cache-dir", "--dest", str(folder), "six"]
    probe = subprocess.run([*pip, *words], env=environment)
    if probe.returncode != 0:
        pytest.skip("PyPI cannot be reached, and the clients of KServe and Triton are not installed yet")
    pytest.fail(done.stderr)
