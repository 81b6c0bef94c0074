"""Settings of the test session that must stand before any test module is imported."""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

# huggingface_hub reads these once, at its first import; tests must not see the user's cache or login.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hf_home_")


@pytest.fixture(scope="session", autouse=True)
def hf_home() -> Iterator[str]:
    """The session's HF_HOME, removed at its end."""
    path = os.environ["HF_HOME"]
    yield path
    shutil.rmtree(path, ignore_errors=True)
