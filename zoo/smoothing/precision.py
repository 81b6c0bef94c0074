"""The precision in which a network computes. Each precision is another base classifier, named in its backend's name."""

from __future__ import annotations

from typing import Final, Literal, get_args

Precision = Literal["float32", "tf32", "bfloat16"]
"""A precision that PyTorch can compute a float32 network in."""

AnyPrecision = Literal["float32", "tf32", "bfloat16", "int8"]
"""A precision of any backend. A network of precision int8 has 8-bit weights, see `zoo.export.quantization`."""

DEFAULT: Final = "float32"
INT8: Final = "int8"
PRECISIONS = get_args(AnyPrecision)


def precision_of(backend: str) -> str | None:
    """The precision in a backend's name, such as `int8` of `onnxruntime-cpu-int8`; None if it names none.

    A note in brackets, that memory ran out, may follow the name.
    """
    last = backend.partition(" ")[0].rpartition("-")[2]
    return last if last in PRECISIONS else None
