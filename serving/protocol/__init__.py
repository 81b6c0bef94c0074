"""Requests and answers as they stand on the wire; no tensor and no TorchServe here.

limits        what the operator sets
parameters    what a client may ask, checked
requests      a row of a server -> images and parameters, whatever form they came in
  forms         raw bytes and multipart
  kserve        JSON of KServe v1
  inference_v2  JSON of the open inference protocol, v2
answers       certificates and votes -> JSON objects, and these -> the body of a response
"""

from serving.protocol.answers import answer, error_body, to_json, to_line
from serving.protocol.limits import Limits
from serving.protocol.parameters import DRAWS_OF_A_PREDICTION, Parameters, parse_parameters, smoothing_of
from serving.protocol.requests import Request, Wire, parse_request, respond, wire_of

__all__ = [
    "DRAWS_OF_A_PREDICTION",
    "Limits",
    "Parameters",
    "Request",
    "Wire",
    "answer",
    "error_body",
    "parse_parameters",
    "parse_request",
    "respond",
    "smoothing_of",
    "to_json",
    "to_line",
    "wire_of",
]
