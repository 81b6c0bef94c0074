"""The machine-readable description of the HTTP interface: OpenAPI 3.1, and JSON Schemas of requests and responses.

python -m serving.description        # regenerates schemas/openapi.json and the schemas next to it
"""

from serving.description.document import openapi_document

__all__ = ["openapi_document"]
