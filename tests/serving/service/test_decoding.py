"""Decoding in processes of their own: the same tensors and refusals as in this process, and nobody waits for long."""

import io
import struct
import time

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from serving.protocol import Limits
from serving.service.decoding import QUICK_BYTES, DecodingProcesses, InlineDecoder
from zoo.errors import ImageError, OverloadError
from zoo.models.spec import Preprocessing

CROP = Preprocessing(resize=16, crop=16)
LIMITS = Limits(max_pixels=4_000_000, max_bytes=9_000_000, max_open_requests=16)
PATIENCE = 60


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def picture(seed, size=(40, 30)):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def slow_picture(num_pixels):
    """A compressed BMP, which Pillow decodes in Python: two bytes and about a microsecond per pixel."""
    width = 1000
    height = num_pixels // width
    rows = (b"\x01\x07" * width + b"\x00\x00") * height + b"\x00\x01"
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    offset = 14 + 40 + 1024
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + info + bytes(1024) + rows


def memory_bomb():
    """A TIFF of 2 MB whose thousand tags all state the same 2 MB as their value."""
    num_tags, value = 1000, bytes(2_000_000)
    place = 8 + 2 + 12 * num_tags + 4
    tags = b"".join(struct.pack("<HHII", 1000 + tag, 7, len(value), place) for tag in range(num_tags))
    return b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", num_tags) + tags + bytes(4) + value


@pytest.fixture(scope="module")
def processes():
    decoder = DecodingProcesses(CROP, LIMITS, patient_seconds=30.0)
    yield decoder
    decoder.close()


@pytest.mark.parametrize(
    "images",
    [
        [encoded(picture(0))],
        [encoded(picture(1), "JPEG"), encoded(picture(2, (300, 20)), "WEBP"), encoded(Image.new("1", (1, 1)))],
        [encoded(picture(3, (2000, 1500)))],  # above both limits of the quick process
        [encoded(Image.new("RGBA", (1700, 1700), (9, 8, 7, 100)))],  # above its pixels only
    ],
)
def test_the_tensors_are_those_of_this_process(images, processes):
    tensors = processes.submit(images).result(PATIENCE)
    expected = InlineDecoder(CROP, LIMITS).submit(images).result()
    assert len(tensors) == len(images) and all(map(torch.equal, tensors, expected))


@pytest.mark.parametrize(
    ("images", "status"),
    [
        ([b""], 400),
        ([b"nothing"], 415),
        ([encoded(picture(0)), encoded(picture(0))[:1000]], 422),
        ([encoded(Image.new("1", (2001, 2000)))], 413),
        ([encoded(Image.new("1", (1, 16_385)))], 413),
        ([encoded(Image.new("1", (1500, 1500)))] * 2, 413),
    ],
)
def test_the_refusals_are_those_of_this_process(images, status, processes):
    told = [decoder.submit(images).exception(PATIENCE) for decoder in (processes, InlineDecoder(CROP, LIMITS))]
    assert [(type(error), error.http_status) for error in told] == [(ImageError, status)] * 2
    assert str(told[0]) == str(told[1])


def test_a_usual_picture_does_not_wait_for_slow_ones(processes):
    slow = [processes.submit([slow_picture(700_000)]) for _ in range(3)]
    for seed in range(5):
        processes.submit([encoded(picture(seed))]).result(PATIENCE)
    assert not any(future.done() for future in slow[1:])
    for future in slow[1:]:
        future.cancel()
    assert len(slow[0].result(PATIENCE)) == 1


def test_a_picture_that_takes_too_long_is_refused_and_the_next_one_is_decoded():
    small, large = slow_picture(100_000), slow_picture(600_000)
    assert len(small) < QUICK_BYTES < len(large)
    decoder = DecodingProcesses(CROP, LIMITS, quick_seconds=0.02, patient_seconds=0.03)
    try:
        for image in (small, large):
            error = decoder.submit([image]).exception(PATIENCE)
            assert error.http_status == 413 and "too long to decode" in str(error)
            assert len(decoder.submit([encoded(picture(0))]).result(PATIENCE)) == 1
    finally:
        decoder.close()


def test_a_small_picture_that_takes_a_quick_process_too_long_is_decoded_by_the_patient_one():
    small = slow_picture(100_000)
    decoder = DecodingProcesses(CROP, LIMITS, quick_seconds=0.02)
    try:
        assert len(decoder.submit([small]).result(PATIENCE)) == 1
    finally:
        decoder.close()


def test_what_waits_for_the_patient_process_is_limited_and_refused_beyond(processes):
    for image, num_accepted in ((slow_picture(1_000_000), 4), (slow_picture(130_000), 8)):
        futures = [processes.submit([image]) for _ in range(10)]
        errors = [future.exception(PATIENCE) for future in futures[num_accepted:]]
        assert {type(error) for error in errors} == {OverloadError}
        for future in futures[1:num_accepted]:
            future.cancel()
        assert futures[0].exception(PATIENCE) is None
        while processes._patient._unfinished:
            time.sleep(0.01)


def test_a_picture_that_takes_too_much_memory_is_refused(processes):
    error = processes.submit([memory_bomb()]).exception(PATIENCE)
    assert error.http_status in (413, 415, 422)
    assert len(processes.submit([encoded(picture(0))]).result(PATIENCE)) == 1


def test_a_process_that_dies_costs_one_request_only(processes):
    future = processes.submit([slow_picture(1_000_000)])
    while not (before := decoding_processes()):
        time.sleep(0.01)
    for process in before:
        process.kill()
    psutil.wait_procs(before, timeout=PATIENCE)
    error = future.exception(PATIENCE)
    assert error is None or error.http_status == 422
    assert len(processes.submit([encoded(picture(0))]).result(PATIENCE)) == 1


def decoding_processes():
    children = psutil.Process().children()
    return [child for child in children if "zoo.models.decoding_process" in child.cmdline()]


def test_both_processes_end_at_close():
    before = {process.pid for process in decoding_processes()}
    decoder = DecodingProcesses(CROP, LIMITS)
    decoder.submit([encoded(picture(0))]).result(PATIENCE)
    decoder.close()
    assert {process.pid for process in decoding_processes()} <= before
