"""The part of `zoo` that the client needs: its errors. The distribution certified-zoo has the rest.

In the wheel certified-zoo-client this file is `zoo/__init__.py`. If certified-zoo is installed too, its `zoo` is
imported instead.
"""

from typing import NoReturn

from zoo.errors import ZooError

__all__ = ["ZooError"]


def __getattr__(name: str) -> NoReturn:
    """Says which distribution has the other names."""
    raise AttributeError(
        f"module 'zoo' has no attribute {name!r}: only the client is installed; pip install certified-zoo has the rest"
    )
