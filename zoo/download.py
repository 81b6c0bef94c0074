"""One file from a plain web address: under its name only when it is complete and was found to be the published one."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import httpx

from zoo.errors import HubError

TIMEOUT = httpx.Timeout(10.0, read=60.0)


def download(url: str, target: Path, *, sha256_prefix: str | None = None) -> None:
    """Writes what the address serves to `target`, whose folder is made.

    Raises: HubError if the server refuses, is not reached or hangs up, if the SHA-256 does not begin with
    `sha256_prefix`, or if the disk does not take it; then nothing new lies in the folder.
    """
    partial: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            partial = Path(file.name)
            digest = hashlib.sha256()
            headers = {"Accept-Encoding": "identity"}
            with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
                response.raise_for_status()
                for chunk in response.iter_bytes():
                    digest.update(chunk)
                    file.write(chunk)
        _require_prefix(digest.hexdigest(), sha256_prefix, url)
        partial.replace(target)
    except httpx.HTTPStatusError as error:
        raise HubError(f"{url} answered {error.response.status_code}: nothing was downloaded") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise HubError(f"cannot download {url}: {error or type(error).__name__}; try again") from error
    except OSError as error:
        raise HubError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _require_prefix(found: str, expected: str | None, url: str) -> None:
    if expected is not None and not found.startswith(expected):
        raise HubError(
            f"{url} served other bytes than were published: their SHA-256 is {found}, expected {expected}...; "
            "nothing was kept"
        )
