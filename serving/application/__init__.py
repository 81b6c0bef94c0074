"""The HTTP interface as an ASGI application over models that answer, wherever these are. No module here imports torch.

models     what the application needs of a model: a protocol
routes     the addresses, and the responses to predictions
received   reads the body of a request, within limits
access     checks tokens and the host's name, and logs one line per request
running    runs an ASGI application in a thread
"""
