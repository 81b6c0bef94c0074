"""Requests and answers as they stand on the wire; no tensor and no TorchServe here.

limits        what the operator sets
parameters    what a client may ask, checked
wire          a row of a server -> a request, and answers -> the body of its response, in the request's form
  forms         raw bytes and multipart
  kserve        JSON of KServe v1
  inference_v2  JSON of the open inference protocol, v2
answers       certificates and votes -> JSON objects, and these -> text
"""

from serving.protocol.answers import answer, error_body, to_json, to_line
from serving.protocol.limits import Limits
from serving.protocol.parameters import Parameters, PredictionSpec, parse_parameters, prediction_of, smoothing_of
from serving.protocol.request import Request, Wire
from serving.protocol.wire import parse_request, respond, wire_of

__all__ = [
    "Limits",
    "Parameters",
    "PredictionSpec",
    "Request",
    "Wire",
    "answer",
    "error_body",
    "parse_parameters",
    "parse_request",
    "prediction_of",
    "respond",
    "smoothing_of",
    "to_json",
    "to_line",
    "wire_of",
]
