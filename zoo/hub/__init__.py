"""Access to the Hugging Face Hub: a push is one commit, a pull is pinned to one commit.

Only this package imports huggingface_hub.
"""

from zoo.hub.connection import Commit
from zoo.hub.fetching import RemoteDescription, download_file, fetch, fetch_description
from zoo.hub.listing import Listed, list_checkpoints
from zoo.hub.publishing import Pushed, push

__all__ = [
    "Commit",
    "Listed",
    "Pushed",
    "RemoteDescription",
    "download_file",
    "fetch",
    "fetch_description",
    "list_checkpoints",
    "push",
]
