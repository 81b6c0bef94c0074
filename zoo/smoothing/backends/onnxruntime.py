"""The ONNX Runtime backend of the base classifier."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from zoo.errors import BackendError, OutOfMemoryError
from zoo.smoothing.backends.base import Classes, Logits, checked_classes
from zoo.smoothing.precision import DEFAULT

# Since 1.29, official builds report every session to their vendor unless this variable is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
FATAL_ONLY = 4
PROBE_SIZES = (1, 2, 7)


class OnnxBackend:
    """An exported network on one device.

    On CPUs, the logits of an image have been bit-identical in every packing so far. The constructor compares a few
    batch sizes. If the logits differ, all batches get the same shape. On CUDA they always do, because its kernels are
    chosen by the batch's shape.
    """

    def __init__(
        self,
        exported: bytes,
        *,
        num_classes: int,
        device: torch.device | str = "cpu",
        precision: str = DEFAULT,
        spins: bool = True,
        depends_on_batch_shape: bool | None = None,
    ) -> None:
        """Loads the model on the device.

        Args:
            exported: The ONNX model, as bytes.
            num_classes: K.
            device: A CPU or CUDA device.
            precision: Name of the model's arithmetic, for the backend's name.
            spins: Lets threads busy-wait during a run, which is fastest unless other work needs the cores.
            depends_on_batch_shape: The result of an earlier comparison under the same conditions; None compares now.

        Raises: BackendError if the model cannot be loaded on the device. The model never falls back to another device.
        """
        self.device = torch.device(device)
        self.num_classes = num_classes
        self.name = f"onnxruntime-{self.device.type}-{precision}"
        self._session = _open(exported, self.device, spins=spins)
        (node,) = self._session.get_inputs()
        self._input = node.name
        self._output = self._session.get_outputs()[0].name
        if self.device.type == "cuda":
            depends_on_batch_shape = True
        elif depends_on_batch_shape is None:
            depends_on_batch_shape = not self._is_identical_in_every_packing(node.shape[1:])
        self.depends_on_batch_shape = depends_on_batch_shape

    @property
    def metadata(self) -> Mapping[str, str]:
        """The custom metadata that the model's exporter wrote into the model."""
        metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return metadata

    @property
    def draws_on(self) -> torch.device:
        return self.device

    def classify(self, x_BCHW: Tensor) -> Classes:
        return self.classify_and_read(x_BCHW, ())[0]

    def classify_and_read(self, x_BCHW: Tensor, rows: Sequence[int]) -> tuple[Classes, Logits]:
        logits_BK = self.logits(x_BCHW)
        classes_B = checked_classes(logits_BK, num_images=len(x_BCHW), num_classes=self.num_classes)
        return classes_B, logits_BK[list(rows)]

    def logits(self, x_BCHW: Tensor) -> Logits:
        """The logits, `(B, K)`. Raises: OutOfMemoryError; BackendError for any other failure."""
        if self.device.type != "cpu":
            bound_BK: Logits = self.enqueue(x_BCHW).cpu().numpy()
            return bound_BK
        with self._translating_errors(len(x_BCHW)):
            (output_BK,) = self._session.run(None, {self._input: x_BCHW.numpy()})
        logits_BK: Logits = output_BK
        return logits_BK

    def enqueue(self, x_BCHW: Tensor) -> Tensor:
        """The logits, `(B, K)`, on the device, where ONNX Runtime reads the images and writes the logits itself.

        ONNX Runtime has a stream of its own. The host therefore waits for the images before the run, and ONNX Runtime
        waits for its logits at the end of it.
        Raises: as `logits`.
        """
        x_BCHW = x_BCHW.to(self.device).contiguous()
        logits_BK = torch.empty(len(x_BCHW), self.num_classes, device=self.device)
        binding = self._session.io_binding()
        binding.bind_input(self._input, *self._place(x_BCHW))
        binding.bind_output(self._output, *self._place(logits_BK))
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        with self._translating_errors(len(x_BCHW)):
            self._session.run_with_iobinding(binding)
        return logits_BK

    def _place(self, tensor: Tensor) -> tuple[str, int, type[np.float32], list[int], int]:
        """What ONNX Runtime needs to know of a tensor: device, type, shape and address."""
        return self.device.type, self.device.index or 0, np.float32, list(tensor.shape), tensor.data_ptr()

    @contextmanager
    def _translating_errors(self, num_images: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the only base class that ONNX Runtime's errors share
            if "alloc" in str(error).lower() or "out of memory" in str(error).lower():
                raise OutOfMemoryError(
                    f"{self.device} does not have enough memory for a batch of {num_images} images"
                ) from error
            raise BackendError(f"ONNX Runtime failed to run the model: {error}") from error

    def _is_identical_in_every_packing(self, shape_CHW: list[int]) -> bool:
        x_BCHW = torch.randn(max(PROBE_SIZES) + 2, *shape_CHW, generator=torch.Generator().manual_seed(0))
        whole_BK = self.logits(x_BCHW)
        return all(
            np.array_equal(whole_BK[:size], self.logits(x_BCHW[:size]))
            and np.array_equal(whole_BK[-size:], self.logits(x_BCHW[-size:]))
            for size in PROBE_SIZES
        )


def runtime_build() -> str:
    """The version and the build of ONNX Runtime."""
    return f"{onnxruntime.__version__} {onnxruntime.get_build_info()}"


def _open(exported: bytes, device: torch.device, *, spins: bool) -> onnxruntime.InferenceSession:
    provider = PROVIDERS[device.type]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
    options.add_session_config_entry("session.force_spinning_stop", "1")  # noise is drawn between runs
    settings = {}
    if device.type == "cuda":  # whose default is to use TF32
        settings = {"device_id": str(device.index or 0), "use_tf32": "0"}
    try:
        session = onnxruntime.InferenceSession(exported, options, providers=[(provider, settings)])
    except Exception as error:  # the only base class that ONNX Runtime's errors share
        raise BackendError(f"ONNX Runtime cannot load the model: {error}") from error
    if session.get_providers()[0] != provider:  # ONNX Runtime falls back to the CPU without an error
        raise BackendError(
            f"ONNX Runtime cannot compute on {device}, because its CUDA libraries cannot be loaded: "
            "run pip install 'certified-zoo[cuda]', or choose --backend torch"
        )
    return session
