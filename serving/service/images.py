"""What a server shows of an image."""

from __future__ import annotations

import base64
import io

import torch
from PIL import Image
from torch import Tensor


def encode_copies(noisy_MCHW: Tensor) -> list[str]:
    """Noisy copies as PNG in base64, for the eye: clipped to [0, 1] and rounded to 8 bits."""
    pixels_MHWC = (noisy_MCHW.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [_png(Image.fromarray(pixels_HWC)) for pixels_HWC in pixels_MHWC]


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
