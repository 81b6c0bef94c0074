"""What a server shows of an image."""

import base64
import io

import torch
from PIL import Image

from serving.service.replies import encode_copies


def test_noisy_copies_are_shown_clipped_in_their_order():
    noisy_MCHW = torch.stack([torch.full((3, 2, 2), value) for value in (-3.0, 0.5, 7.0)])
    shown = [Image.open(io.BytesIO(base64.b64decode(text))).getpixel((0, 0)) for text in encode_copies(noisy_MCHW)]
    assert shown == [(0, 0, 0), (128, 128, 128), (255, 255, 255)]
