"""A simulated CUDA device: its tensors compute on the CPU, but refuse to mix with the CPU's, and every transfer counts.

Inside `simulated_device()`, tensors that are moved to `cuda` say that they are there. An operation that mixes them with
tensors of the CPU raises `DeviceMixError`, as CUDA does; so does NumPy's view of one. `Traffic` counts what the host
and the device exchange. It finds a wrong device and an unexpected wait, not wrong numbers of a GPU. A copy to the host
for which the host does not wait has other values until an event after it has been waited for.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

GENERATOR = torch.Generator
CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
OUR_CODE = ("/zoo/", "/training/", "/serving/")
# Operators that take CPU tensors beside CUDA's: copies, and indices, which are copied to the device first.
MIXING = {"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_"}
# Operators whose result has a shape that only the values determine, so that the host waits for it.
WAITING = {"nonzero", "masked_select", "unique_dim", "_unique2", "equal"}
NOT_COPIED = -7
SCALARS = {"item", "__float__", "__int__", "__bool__", "__index__"}
LIKE = {"empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "new_zeros", "new_empty"}


class DeviceMixError(RuntimeError):
    """An operation has tensors on the CPU and on the device."""


@dataclass
class Traffic:
    """Copies from host to device and back, and waits of the host, each with the lines of our code that cause them.

    A copy to the host is a wait too, unless it is not blocking. A tensor without dimensions may go to the device as an
    argument of a kernel. `log` has the copies and waits in order, as "in", "out" or "wait" and a number of bytes; tests
    add what else they see. `queue`: the events for which the host has not waited, and the copies before them, each a
    target and its values.
    """

    copies_in: Counter[str] = field(default_factory=Counter)
    copies_out: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    log: list[tuple[str, int]] = field(default_factory=list)
    queue: list[Event | tuple[Tensor, Tensor]] = field(default_factory=list)

    def clear(self) -> None:
        for counts in (self.copies_in, self.copies_out, self.waits, self.log):
            counts.clear()

    def num_bytes(self, kind: str) -> int:
        return sum(size for logged, size in self.log if logged == kind)

    def wait(self, event: Event | None = None) -> None:
        """The host waits for an event, or for everything that it has enqueued."""
        self.waits[_line()] += 1
        self.log.append(("wait", 0))
        num = len(self.queue) if event is None else self.queue.index(event) + 1
        for item in self.queue[:num]:
            if isinstance(item, tuple):
                target, values = item
                target.copy_(values)
        del self.queue[:num]


TRAFFIC = Traffic()


class Stream:
    """The only stream of the simulated device."""

    def __init__(self, device=None):
        pass

    def record_event(self):
        return Event()

    def wait_event(self, event):
        assert isinstance(event, Event)

    def wait_stream(self, other):
        assert isinstance(other, Stream)


class Event:
    """A place in the stream."""

    def __init__(self):
        TRAFFIC.queue.append(self)

    def synchronize(self):
        """A wait, unless the host has waited for this place or a later one."""
        if self in TRAFFIC.queue:
            TRAFFIC.wait(self)


@contextmanager
def simulated_device() -> Iterator[Traffic]:
    """Simulates the device inside the block; the traffic from there on."""
    TRAFFIC.clear()
    TRAFFIC.queue.clear()
    current_stream, torch.cuda.current_stream = torch.cuda.current_stream, Stream
    cudnn, swaps = torch.backends.cudnn.enabled, torch.__future__.get_overwrite_module_params_on_conversion()
    torch.backends.cudnn.enabled = False
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch.Generator = _Generator
    try:
        with _Placing():
            yield TRAFFIC
    finally:
        torch.Generator = GENERATOR
        torch.cuda.current_stream = current_stream
        torch.backends.cudnn.enabled = cudnn
        torch.__future__.set_overwrite_module_params_on_conversion(swaps)


class _AnyGenerator(type):
    def __instancecheck__(cls, value):
        return isinstance(value, GENERATOR)


class _Generator(metaclass=_AnyGenerator):
    """Makes a generator of the CPU for any device, since the tensors of the simulated one compute there."""

    def __new__(cls, device="cpu"):
        return GENERATOR()


class DeviceTensor(Tensor):
    """A tensor on the simulated device; `values` are on the CPU."""

    @staticmethod
    def __new__(cls, values):
        # The wrapper itself is on the CPU, since the CUDA key of the dispatcher may have no kernels in this build.
        return torch.Tensor._make_wrapper_subclass(
            cls, values.size(), strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype,
            layout=values.layout, device=CPU, requires_grad=False,
        )  # fmt: skip

    def __init__(self, values):
        self.values_ = values

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def __repr__(self, **_):
        return f"DeviceTensor({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), func.overloadpacket.__name__
        tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        on_device = [tensor for tensor in tensors if isinstance(tensor, DeviceTensor)]
        on_host = [tensor for tensor in tensors if not isinstance(tensor, DeviceTensor) and tensor.dim() > 0]
        if on_device and on_host and name not in MIXING:
            raise DeviceMixError(f"{func}: tensors of the CPU and of the device, at {_line()}")
        if name in WAITING or (name == "index" and any(t.dtype in (torch.bool, torch.uint8) for t in tensors[1:])):
            TRAFFIC.wait()
        if name == "copy_" and isinstance(args[0], DeviceTensor) != isinstance(args[1], DeviceTensor):
            _count(args[1], is_out=isinstance(args[1], DeviceTensor))
        elif name in MIXING and name != "_to_copy" and on_host:  # indices
            _count(on_host[0], is_out=False)
        device, lands = kwargs.get("device"), bool(on_device)
        if device is not None:
            lands = torch.device(device).type == "cuda" or (name in LIKE and bool(on_device))
            kwargs["device"] = CPU
        result = func(*tree_map(_values, args), **tree_map(_values, kwargs))
        if not lands:
            return result
        wrapped = tree_map(lambda value: DeviceTensor(value) if isinstance(value, Tensor) else value, result)
        try:
            return return_and_correct_aliasing(func, args, kwargs, wrapped)
        except RuntimeError:  # operators without an alias schema
            return wrapped


class _Placing(TorchFunctionMode):
    """Makes functions that name a device place their result there."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        first = args[0] if args else None
        if name in ("to", "cuda", "type_as") and isinstance(first, Tensor):
            return self._moved(func, name, first, list(args[1:]), kwargs)
        if isinstance(first, DeviceTensor):
            if name == "cpu":
                _count(first, is_out=True)
                return first.values_.detach().clone()
            if name == "tolist":
                _count(first, is_out=True)
                return first.values_.tolist()
            if name in SCALARS:
                TRAFFIC.wait()
                return func(first.values_, *args[1:])
            if name in ("numpy", "__array__"):
                raise TypeError("can't convert cuda:0 device type tensor to numpy: use Tensor.cpu() first")
        if _is_cuda(kwargs.get("device")) and not any(isinstance(a, DeviceTensor) for a in tree_flatten(args)[0]):
            kwargs["device"] = CPU
            needs_gradient = kwargs.pop("requires_grad", False)
            made = func(*args, **kwargs)
            if name in ("tensor", "as_tensor", "asarray"):
                _count(made, is_out=False)
            return DeviceTensor(made.detach()).requires_grad_(needs_gradient)
        return func(*args, **kwargs)

    def _moved(self, func, name, tensor, rest, kwargs):
        target, dtype = CUDA if name == "cuda" else kwargs.get("device"), kwargs.get("dtype")
        for value in rest:
            if isinstance(value, Tensor):
                target, dtype = value.device, value.dtype
            elif isinstance(value, torch.dtype):
                dtype = value
            elif isinstance(value, str | torch.device):
                target = value
        options = {"dtype": dtype or tensor.dtype, "copy": kwargs.get("copy", False)}
        options["memory_format"] = kwargs.get("memory_format", torch.preserve_format)
        if _is_cuda(target) and not isinstance(tensor, DeviceTensor):
            _count(tensor, is_out=False)
            with torch.inference_mode(False):
                moved = DeviceTensor(torch.Tensor.to(tensor.detach(), **options).clone())
            return moved.requires_grad_(tensor.requires_grad)
        if target is not None and not _is_cuda(target) and isinstance(tensor, DeviceTensor):
            is_blocking = not kwargs.get("non_blocking")
            _count(tensor, is_out=True, waits=is_blocking)
            values = torch.Tensor.to(tensor.values_.detach().clone(), **options)
            if is_blocking:
                return values
            target = torch.full_like(values, NOT_COPIED)
            TRAFFIC.queue.append((target, values))
            return target
        return torch.Tensor.to(tensor, **options)


def _values(value):
    return value.values_ if isinstance(value, DeviceTensor) else value


def _is_cuda(device) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _count(tensor: Tensor, *, is_out: bool, waits: bool = True) -> None:
    (TRAFFIC.copies_out if is_out else TRAFFIC.copies_in)[_line()] += 1
    TRAFFIC.log.append(("out" if is_out else "in", tensor.numel() * tensor.element_size()))
    if is_out and waits:
        TRAFFIC.wait()


def _line() -> str:
    for frame, line in traceback.walk_stack(None):
        file = frame.f_code.co_filename
        if any(folder in file for folder in OUR_CODE) and "site-packages" not in file:
            return f"{file.rpartition('/')[2]}:{line}"
    return "outside of our code"
