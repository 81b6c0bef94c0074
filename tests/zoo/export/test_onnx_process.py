"""ONNX models of unknown origin: their logits, or an error within the bounds of time and memory."""

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper
from onnx import helper as make

from zoo.errors import BackendError
from zoo.export.onnx_process import bounded_logits

BATCHES = [np.ones((2, 3, 4, 4), np.float32), np.zeros((1, 3, 4, 4), np.float32)]


def model_of(nodes, **constants):
    """A model of pixels `image` to ten `logits`; the nodes go on from `flat`, the pixels times 48 x 10 ones."""
    constants |= {"shape": np.array([-1, 48]), "ones": np.ones((48, 10), np.float32)}
    begin = [
        make.make_node("Reshape", ["image", "shape"], ["row"]),
        make.make_node("MatMul", ["row", "ones"], ["flat"]),
    ]
    graph = make.make_graph(
        [*begin, *nodes],
        "g",
        [make.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 4, 4])],
        [make.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8).SerializeToString()


def endless_loop():
    info = make.make_tensor_value_info
    nodes = [make.make_node("Identity", ["c"], ["go"]), make.make_node("Add", ["v", "v"], ["w"])]
    given = [info("i", TensorProto.INT64, []), info("c", TensorProto.BOOL, []), info("v", TensorProto.FLOAT, None)]
    body = make.make_graph(nodes, "b", given, [info("go", TensorProto.BOOL, []), info("w", TensorProto.FLOAT, None)])
    loop = make.make_node("Loop", ["times", "always", "flat"], ["logits"], body=body)
    return model_of([loop], times=np.array(2**62), always=np.array(True))


def huge_tensor():
    nodes = [
        make.make_node("ConstantOfShape", ["many"], ["zeros"]),
        make.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
        make.make_node("Add", ["flat", "zero"], ["logits"]),
    ]
    return model_of(nodes, many=np.array([8_000_000_000]))


def run(model, *, seconds=60.0):
    return bounded_logits(model, BATCHES, num_classes=10, seconds=seconds, most_bytes=1_000_000_000)


def test_the_logits_of_every_batch_are_returned():
    ones, zeros = run(model_of([make.make_node("Identity", ["flat"], ["logits"])]))
    assert np.array_equal(ones, np.full((2, 10), 48.0)) and np.array_equal(zeros, np.zeros((1, 10)))


@pytest.mark.parametrize(
    ("model", "seconds", "said"),
    [
        (endless_loop(), 3.0, "did not end within 3 s"),
        (huge_tensor(), 60.0, "ONNX Runtime failed"),
        (model_of([make.make_node("Evil", ["flat"], ["logits"], domain="evil")]), 60.0, "ONNX Runtime failed"),
        (model_of([make.make_node("Identity", ["row"], ["logits"])]), 60.0, "ONNX Runtime failed"),
        (b"nothing", 60.0, "ONNX Runtime failed"),
    ],
    ids=["loop", "memory", "custom operator", "other shape", "no model"],
)
def test_a_model_that_gives_no_logits_within_the_bounds_is_an_error(model, seconds, said):
    with pytest.raises(BackendError, match=said):
        run(model, seconds=seconds)
