"""Converts a network to an ONNX model that includes the normalization: pixels in [0, 1], plus any noise, to logits."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import onnx
import torch
from google.protobuf.message import EncodeError
from torch import nn

from zoo.errors import ExportError
from zoo.host.loaned_setting import WARNINGS_IGNORED

INPUT, OUTPUT = "image", "logits"
PARENT_SHA256 = "parent_sha256"
"""The metadata of a quantized network that names its parent's weights."""
LARGEST_BATCH = 65_536


def export_network(network: nn.Module, *, size: int) -> bytes:
    """The ONNX model of a network on `3 x size x size` pixels: float32, any batch size.

    The exporter folds batch normalization into the convolutions.
    Raises: ExportError if the exporter cannot express the network.
    """
    frozen = copy.deepcopy(network).to("cpu").eval()
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    try:
        with WARNINGS_IGNORED:  # the exporter warns about its own internals
            program = torch.onnx.export(
                frozen,
                (torch.zeros(2, 3, size, size),),
                dynamo=True,
                dynamic_shapes=({0: batch},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
        assert program is not None
        exported: bytes = program.model_proto.SerializeToString()
    except (torch.onnx.OnnxExporterError, EncodeError, ValueError) as error:  # protobuf refuses more than 2 GB
        raise ExportError("the network cannot be expressed in ONNX with any batch size; PyTorch can run it") from error
    return exported


def publishable(exported: bytes, facts: Mapping[str, str]) -> bytes:
    """The model with `facts` as its only metadata.

    The exporter's own metadata are removed: they contain paths of the exporting machine.
    Raises: onnx.checker.ValidationError if the model is not valid.
    """
    model = onnx.load_model_from_string(exported)
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    del model.metadata_props[:]
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
