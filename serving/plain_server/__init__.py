"""The engine `asgi`: an HTTP server without torch, and workers in processes of their own; it needs no Java.

server          the running server, in the front process
worker_process  the process of one worker, as the front process sees it
starting        starts processes, before their settings are known
link, frames    the connection to a worker
settings        what a worker is started with
worker          the worker's program
answering       what a worker does once it has its settings
"""
