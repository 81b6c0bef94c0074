"""The Hugging Face Hub: push as one commit, pull pinned to one. The only package that imports huggingface_hub."""

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
