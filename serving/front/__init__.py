"""The front process of an engine whose models answer in other processes: HTTP, tokens, logs, management. No torch here.

server         the running server: what every such engine has
fleet          the served models and versions, and the workers that answer for them
management     the management API
logs           the log files
sources        what a worker is started with
model_loading  loads a model, in a worker; it imports torch, and no other module here imports it
"""
