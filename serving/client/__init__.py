"""Asking a served model over HTTP: `Client`, `AsyncClient`, and what they answer. Works without torch installed."""

from serving.client.answers import Certificate, Prediction, ServedModel, Votes
from serving.client.asynchronous import AsyncClient
from serving.client.blocking import Client, ask
from serving.client.retrying import NO_RETRY, Retry
from serving.client.streaming import StreamUpdate

__all__ = [
    "NO_RETRY",
    "AsyncClient",
    "Certificate",
    "Client",
    "Prediction",
    "Retry",
    "ServedModel",
    "StreamUpdate",
    "Votes",
    "ask",
]
