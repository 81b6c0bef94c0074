"""The engine `ray`: the front process, and replicas as actors of a Ray cluster, on this machine or on many.

server     the running server, in the front process
pool       the replicas of one version of a model: where requests go, and what happens when a replica dies
handle     one replica, as the front process sees it
scaling    how many replicas the open draws need
launch     starts actors and tasks with this server's settings
metrics    the metrics of the replicas, which the front process keeps
messages   what crosses between the front process and the actors
actors     the actors and tasks, which import no torch until they load a model
answering  a loaded replica
"""
