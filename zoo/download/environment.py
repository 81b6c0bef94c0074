"""The network settings of the environment, and errors that name the one that a network client cannot use."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from zoo.errors import RequestError, ZooError

PROXIES = ("http", "https", "all")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@contextmanager
def settings_named() -> Iterator[None]:
    """Replaces the error of a client that cannot be made with a RequestError that names the setting at fault.

    Wrap only the creation of an httpx or httpx2 client that reads the environment. Its arguments are constants, so the
    environment is at fault whatever the error is.
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        raise RequestError(_complaint(error)) from error


def require_usable_settings() -> None:
    """Raises RequestError that names a setting which prevents network clients; for libraries that make their own."""
    import httpx

    with settings_named():
        httpx.Client().close()


def _complaint(error: Exception) -> str:
    certificates = next((name for name in CERTIFICATES if os.environ.get(name)), None)
    if certificates is not None and isinstance(error, OSError):
        return (
            f"{certificates} is {os.environ[certificates]!r}, from which no certificates can be read "
            f"({error.strerror or type(error).__name__}): correct or unset it"
        )
    proxies = urllib.request.getproxies_environment()
    for scheme in PROXIES:
        reason = _refusal(proxies.get(scheme, ""))
        if reason is not None:
            return f"{_variable(scheme)} {reason}, or unset it"
    name = _variable("no") if "no" in proxies else "a proxy or certificate setting"
    return f"{name} cannot be used by the network client ({error}): correct or unset it"


def _refusal(proxy: str) -> str | None:
    """Why a client refuses this proxy, or None. An address is not repeated, since it may contain a password."""
    import httpx

    if not proxy:
        return None
    scheme, separator, _ = proxy.partition("://")
    address = proxy if separator else f"http://{proxy}"
    try:
        httpx.HTTPTransport(proxy=address, verify=False, trust_env=False).close()
    except ImportError:
        return f"has the scheme {scheme}://, which needs the package socksio: install it, give an http:// proxy"
    except (ValueError, httpx.InvalidURL):
        known = ("http", "https", "socks5", "socks5h")
        if separator and scheme.lower() not in known:
            return f"has the scheme {scheme}://, which is not supported: give a proxy of the form http://HOST:PORT"
        return "is not a valid address: give a proxy of the form http://HOST:PORT"
    return None


def _variable(scheme: str) -> str:
    """The environment variable that sets the proxy of a scheme; the lower-case one wins, as in urllib."""
    lower = f"{scheme}_proxy"
    return lower if os.environ.get(lower) else lower.upper()
