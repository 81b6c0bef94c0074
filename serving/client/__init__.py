"""The HTTP clients of a served model, `Client` and `AsyncClient`, and their answers. Works without torch installed."""

from serving.client.answers import Answer, Certificate, LabelSetAnswer, ServedModel, SetGuarantee, Votes
from serving.client.asynchronous import AsyncClient
from serving.client.blocking import Client, ask
from serving.client.streaming import StreamUpdate
from zoo.download.retry import DEFAULT_RETRY, NO_RETRY, RetryPolicy

__all__ = [
    "DEFAULT_RETRY",
    "NO_RETRY",
    "Answer",
    "AsyncClient",
    "Certificate",
    "Client",
    "LabelSetAnswer",
    "RetryPolicy",
    "ServedModel",
    "SetGuarantee",
    "StreamUpdate",
    "Votes",
    "ask",
]
