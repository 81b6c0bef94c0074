"""Requests and answers in their wire formats. This package handles no tensors and does not depend on TorchServe.

limits        the operator's limits and defaults
parameters    the parameters of a request, validated
wire          parses a server row into a request, and formats answers as the response to this request
  forms         raw bytes and multipart forms
  kserve        KServe v1 JSON
  inference_v2  open inference protocol v2
  binary_tensors  the protocol's extension for binary tensors
answers       converts certificates and votes to JSON objects, and JSON objects to text
"""

from serving.protocol.answers import answer, error_body, to_json, to_line
from serving.protocol.binary_tensors import BinaryBody
from serving.protocol.inference_v2 import binary_header_length, model_metadata
from serving.protocol.limits import Limits
from serving.protocol.parameters import (
    LabelSetRequest,
    Parameters,
    PredictionSpec,
    Target,
    deciding,
    parse_parameters,
    target_of,
)
from serving.protocol.request import Request, Wire
from serving.protocol.wire import parse_request, respond, wire_of

__all__ = [
    "BinaryBody",
    "LabelSetRequest",
    "Limits",
    "Parameters",
    "PredictionSpec",
    "Request",
    "Target",
    "Wire",
    "answer",
    "binary_header_length",
    "deciding",
    "error_body",
    "model_metadata",
    "parse_parameters",
    "parse_request",
    "respond",
    "target_of",
    "to_json",
    "to_line",
    "wire_of",
]
