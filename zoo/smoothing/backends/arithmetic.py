"""Gives PyTorch's operations a precision for the duration of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch

from zoo.host.loaned_setting import LoanedChoice
from zoo.smoothing.precision import Precision

_backends: Any = torch.backends  # typed incompletely
CPU_SWITCHES = (_backends.mkldnn.conv, _backends.mkldnn.rnn, _backends.mkldnn.matmul)
CUDA_SWITCHES = (_backends.cudnn.conv, _backends.cudnn.rnn, _backends.cuda.matmul)
"""torch's switches for products of float32 matrices: objects with the attribute `fp32_precision`."""

Value = TypeVar("Value")


@contextmanager
def arithmetic(precision: Precision, device_type: str) -> Iterator[None]:
    """Gives torch's operations on a device type a precision inside the block; then the host's settings are back.

    `float32` is IEEE float32: no TF32 on CUDA, no bfloat16 inside of matrix products on CPUs. `tf32` allows TF32 on
    CUDA. `bfloat16` is autocast, where what autocast leaves in float32 is IEEE float32.

    torch's switches belong to the process. They are changed only if they differ from what is needed. Threads that need
    different precisions on one device type take turns, as in LoanedChoice.
    """
    products = _products(device_type, "tf32" if precision == "tf32" else "ieee")
    with products, torch.autocast(device_type, torch.bfloat16, enabled=precision == "bfloat16"):
        yield


def _products(device_type: str, wanted: str) -> AbstractContextManager[object]:
    """A context in which products of float32 matrices on a device type are computed as `wanted`: ieee or tf32."""
    if device_type != "cuda" and all(switch.fp32_precision in ("none", "ieee") for switch in CPU_SWITCHES):
        return nullcontext()  # torch's own setting, and free of charge
    return _LOANS[device_type].holding(wanted)


@contextmanager
def _switched_on_cuda(wanted: str) -> Iterator[None]:
    """Sets the switches of torch's older interface too, because compilers read them.

    torch refuses to read an older switch that contradicts the newer ones. A host program that has caused this uses the
    newer ones, and its older switches stay as they are.
    """
    cudnn, products_on_cpus = torch.backends.cudnn, CPU_SWITCHES[-1:]  # which an older switch changes too
    convolutions, products = _readable(lambda: cudnn.allow_tf32), _readable(torch.get_float32_matmul_precision)
    with _restored(CUDA_SWITCHES), _restored(products_on_cpus):
        if convolutions is not None:
            cudnn.allow_tf32 = wanted == "tf32"
        if products is not None:
            torch.set_float32_matmul_precision("high" if wanted == "tf32" else "highest")
        _set(CUDA_SWITCHES, wanted)
        try:
            yield
        finally:
            if convolutions is not None:
                cudnn.allow_tf32 = convolutions
            if products is not None:
                torch.set_float32_matmul_precision(products)


@contextmanager
def _switched_on_cpus(wanted: str) -> Iterator[None]:
    with _restored(CPU_SWITCHES):
        _set(CPU_SWITCHES, wanted)
        yield


@contextmanager
def _restored(switches: Sequence[Any]) -> Iterator[None]:
    before = [switch.fp32_precision for switch in switches]
    try:
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def _set(switches: Sequence[Any], wanted: str) -> None:
    for switch in switches:
        switch.fp32_precision = wanted


def _readable(read: Callable[[], Value]) -> Value | None:
    """The value of an older switch; None if torch refuses to read it."""
    try:
        return read()
    except RuntimeError:
        return None


_LOANS = {"cpu": LoanedChoice(_switched_on_cpus), "cuda": LoanedChoice(_switched_on_cuda)}
