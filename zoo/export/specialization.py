"""Rewrites a network for one image size: the same function, faster where feature maps are small.

A 32x32 image reaches the last stages of a ResNet as maps of 2x2 and 1x1 positions. There most of a convolution's
kernel meets padding. Libraries compute such a convolution image by image, and read all weights for each image. A matrix
product over the batch, with channels last in between, reads the weights once.
"""

from __future__ import annotations

import operator
from itertools import product
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from zoo.smoothing.backends import fused

LARGEST_MAP = 4
ADDITIONS = (operator.add, operator.iadd, torch.add)


class PointwiseProduct(nn.Module):
    """A 1x1 convolution as a matrix product: `x_BHWC` -> `x_BHWC`."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.stride = cast(tuple[int, int], convolution.stride)
        self.linear = _linear(convolution.weight.flatten(1), _bias(convolution))

    def forward(self, x_BHWC: Tensor) -> Tensor:
        rows, columns = self.stride
        x_BHWC = x_BHWC[:, ::rows, ::columns]
        _, height, width, _ = x_BHWC.shape
        y_BHWC: Tensor = self.linear(x_BHWC.flatten(0, 2)).unflatten(0, (-1, height, width))
        return y_BHWC


class WholeMapProduct(nn.Module):
    """A convolution on a small map as one matrix product, from all positions to all: `x_BHWC` -> `x_BHWC`."""

    def __init__(self, convolution: nn.Conv2d, *, height: int, width: int) -> None:
        super().__init__()
        weight = convolution.weight.detach()
        num_outputs, num_inputs, *kernel = weight.shape
        size, stride, padding = (height, width), convolution.stride, cast(tuple[int, int], convolution.padding)
        rows, columns = ((size[i] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in (0, 1))
        matrix = torch.zeros(rows, columns, num_outputs, height, width, num_inputs)
        for row, column, i, j in product(*map(range, (rows, columns, *kernel))):
            y, x = row * stride[0] + i - padding[0], column * stride[1] + j - padding[1]
            if 0 <= y < height and 0 <= x < width:
                matrix[row, column, :, y, x] = weight[:, :, i, j]
        self.shape_HWC = (rows, columns, num_outputs)
        self.linear = _linear(matrix.flatten(3).flatten(0, 2), _bias(convolution).repeat(rows * columns))

    def forward(self, x_BHWC: Tensor) -> Tensor:
        y_BHWC: Tensor = self.linear(x_BHWC.flatten(1)).unflatten(1, self.shape_HWC)
        return y_BHWC


def specialized(network: nn.Module, *, size: int) -> nn.Module:
    """A copy of the network in eval mode for `3 x size x size` pixels; its logits differ only in the last digits.

    Batch normalizations are folded. Convolutions on maps of at most 2x2 positions become matrix products. A network
    that cannot be traced symbolically is only copied.
    """
    graph = fused(network)
    if not isinstance(graph, fx.GraphModule):
        return graph
    ShapeProp(graph).propagate(torch.zeros(1, 3, size, size))
    modules = dict(graph.named_modules())
    channels_last: set[fx.Node] = set()
    for node in list(graph.graph.nodes):
        module = modules.get(node.target) if node.op == "call_module" else None
        if type(module) is nn.Conv2d and _is_small(node.args[0], module):
            _replace(graph, node, _as_product(module, _shape(node.args[0])))
            node.args = (_permuted(graph, node.args[0], channels_last, to_last=True),)
            channels_last.add(node)
        elif isinstance(module, nn.ReLU) and node.args[0] in channels_last:
            channels_last.add(node)
        elif (
            node.op == "call_function" and node.target in ADDITIONS and channels_last.intersection(node.all_input_nodes)
        ):
            node.args = tuple(_permuted(graph, operand, channels_last, to_last=True) for operand in node.args)
            channels_last.add(node)
        else:
            for operand in channels_last.intersection(node.all_input_nodes):
                node.replace_input_with(operand, _permuted(graph, operand, channels_last, to_last=False))
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def _is_small(node: fx.Node, convolution: nn.Conv2d) -> bool:
    _, height, width = _shape(node)
    is_plain = convolution.groups == 1 and convolution.dilation == (1, 1) and convolution.padding_mode == "zeros"
    return is_plain and isinstance(convolution.padding, tuple) and height * width <= LARGEST_MAP


def _as_product(convolution: nn.Conv2d, shape_CHW: tuple[int, int, int]) -> nn.Module:
    if convolution.kernel_size == (1, 1) and convolution.padding == (0, 0):
        return PointwiseProduct(convolution)
    return WholeMapProduct(convolution, height=shape_CHW[1], width=shape_CHW[2])


def _permuted(graph: fx.GraphModule, node: fx.Node, channels_last: set[fx.Node], *, to_last: bool) -> fx.Node:
    """The node with its channels last, or first if not `to_last`; inserts a permutation if needed."""
    if (node in channels_last) == to_last:
        return node
    with graph.graph.inserting_after(node):
        permuted = graph.graph.call_method("permute", (node, *((0, 2, 3, 1) if to_last else (0, 3, 1, 2))))
    if to_last:
        channels_last.add(permuted)
    return permuted


def _shape(node: fx.Node) -> tuple[int, int, int]:
    _, num_channels, height, width = node.meta["tensor_meta"].shape
    return num_channels, height, width


def _replace(graph: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    parent, _, name = str(node.target).rpartition(".")
    setattr(graph.get_submodule(parent), name, module)


def _linear(weight_KC: Tensor, bias_K: Tensor) -> nn.Linear:
    # On the meta device: initialization would draw from the host program's random generator.
    linear = nn.Linear(weight_KC.shape[1], weight_KC.shape[0], device="meta")
    linear.weight = nn.Parameter(weight_KC.detach().clone(memory_format=torch.contiguous_format))
    linear.bias = nn.Parameter(bias_K.detach().clone())
    return linear


def _bias(convolution: nn.Conv2d) -> Tensor:
    return torch.zeros(convolution.out_channels) if convolution.bias is None else convolution.bias.detach()
