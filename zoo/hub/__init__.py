"""The Hugging Face Hub: push as one commit, pull pinned to one. The only package that imports huggingface_hub."""

from zoo.hub.commit import Commit
from zoo.hub.fetching import Description, download_file, fetch, fetch_description
from zoo.hub.listing import Listed, list_checkpoints
from zoo.hub.publishing import Pushed, push

__all__ = [
    "Commit",
    "Description",
    "Listed",
    "Pushed",
    "download_file",
    "fetch",
    "fetch_description",
    "list_checkpoints",
    "push",
]
