"""How does a checkpoint become a running, observable HTTP service, and how is it called?"""
