"""The HTTP interface described for machines: OpenAPI 3.1, and JSON Schemas of what is sent and answered.

python -m serving.description        # writes schemas/openapi.json and the schemas beside it anew
"""

from serving.description.document import openapi_document

__all__ = ["openapi_document"]
