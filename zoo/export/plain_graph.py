"""Refuses ONNX models whose graph could do more than compute a network from its own weights."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from google.protobuf.message import DecodeError

from zoo.errors import CheckpointError

STANDARD_DOMAINS = ("", "ai.onnx")


def require_plain_graph(content: bytes, *, source: str) -> onnx.ModelProto:
    """The parsed model.

    Raises: CheckpointError unless it has standard operators without inner graphs, and holds all its weights.

    A loop may never end, a function or an operator of another domain may be anything, and weights in other files have
    paths that could point anywhere. `source` names the model in the error.
    """
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise CheckpointError(f"{source} is not an ONNX model") from error
    if model.functions:
        raise CheckpointError(f"{source} defines functions, which a network of this zoo does not")
    for node in model.graph.node:
        has_inner_graph = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        if has_inner_graph or node.domain not in STANDARD_DOMAINS:
            raise CheckpointError(f"{source} has the operator {node.op_type}, which a network of this zoo has not")
    external = [tensor.name for tensor in tensors_of(model.graph) if is_external(tensor)]
    if external:
        raise CheckpointError(f"{source} loads the weights {external[0]!r} from another file")
    return model


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """The metadata that the file states."""
    return {entry.key: entry.value for entry in model.metadata_props}


def tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All constant tensors of a graph: its weights, those in its nodes, and those of the graphs in its nodes."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            yield from tensors_of(inner)


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor's values are in another file."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL
