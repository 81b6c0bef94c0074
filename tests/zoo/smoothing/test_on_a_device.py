"""The engine on a simulated device: the right devices, one copy in and one out per step, and the CPU's votes."""

from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from itertools import cycle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.simulated_device import CUDA, DeviceMixError, DeviceTensor, Stream, simulated_device
from tests.zoo.smoothing.slopes import Slopes
from zoo.errors import CertificationError, OutOfMemoryError
from zoo.smoothing import (
    Anytime,
    AtRadius,
    Certification,
    CertificationEngine,
    LabelSetJob,
    LabelSetSpec,
    NoiseKey,
    NoisySampler,
    Prediction,
    SamplingOptions,
    SmoothingSpec,
    TorchBackend,
)
from zoo.smoothing.device_noise import DeviceDraws, DeviceMemory, noisy_by_operations
from zoo.smoothing.noise import Draws, Phase


def picture(seed):
    return np.random.default_rng(seed).random((3, 6, 6)).astype(np.float32)


def draws_of(seed, *, num=10, noise="gaussian", start=0, reads_logits=False):
    x_CHW = picture(seed)
    if noise == "discrete":
        x_CHW = (np.rint(x_CHW * 255) / 255).astype(np.float32)
    return Draws(x_CHW, 0.5, noise, NoiseKey(7, seed), Phase.ESTIMATION, start, num, reads_logits)


def sampler_on_device(network=None, *, batch_size=8):
    return NoisySampler(
        TorchBackend(network or Slopes(), num_classes=3, device=CUDA, is_channels_last=True),
        SamplingOptions(batch_size=batch_size),
    )


def certification(number):
    spec = SmoothingSpec(sigma=0.5, n0=10, n=40)
    return Certification(number, torch.from_numpy(picture(number)), smoothing=spec, key=NoiseKey(7, number))


def expected_classes(draws):
    noisy_MCHW = noisy_by_operations(DeviceMemory(torch.device("cpu")).moved([draws]))
    with torch.inference_mode():
        return Slopes()(noisy_MCHW).argmax(dim=1).tolist()


def test_votes_on_a_device_are_those_of_the_cpu_with_the_devices_noise():
    asked = [draws_of(0), draws_of(1, num=3), draws_of(0, num=5, start=10)]
    with simulated_device():
        votes = sampler_on_device().votes(asked)
    assert [each.tolist() for each in votes] == [expected_classes(each) for each in asked]
    assert len(set(np.concatenate(votes).tolist())) > 1


def test_a_call_copies_once_to_the_device_and_waits_once_for_one_copy_back():
    with simulated_device() as traffic:
        sampler = sampler_on_device()
        traffic.clear()
        asked = [draws_of(0, num=30), draws_of(1, num=11)]
        for _ in range(3):  # also where images are new
            sampler.votes(asked)
            assert (traffic.copies_in.total(), traffic.copies_out.total()) == (1, 1), traffic
            assert traffic.waits.total() == 1, traffic
            traffic.clear()


def test_logits_that_are_read_come_with_the_copy_of_the_classes():
    with simulated_device() as traffic:
        sampler = sampler_on_device()
        traffic.clear()
        votes = sampler.votes([draws_of(0, num=7), *(draws_of(seed, num=1, reads_logits=True) for seed in (1, 2, 3))])
        assert (traffic.copies_in.total(), traffic.copies_out.total(), traffic.waits.total()) == (1, 1, 1), traffic
    assert votes[0].tolist() == expected_classes(draws_of(0, num=7))
    assert [int(logits_1K.argmax()) for logits_1K in votes[1:]] == [
        expected_classes(draws_of(seed, num=1))[0] for seed in (1, 2, 3)
    ]


def test_the_kernel_is_launched_once_per_batch(monkeypatch):
    launches = []

    def kernel(draws):
        launches.append(len(draws))
        return noisy_by_operations(draws)

    monkeypatch.setattr("zoo.smoothing.noisy_batch._kernel", lambda device: kernel)
    with simulated_device():
        sampler_on_device().votes([draws_of(0, num=10), draws_of(1, num=10)])
    assert launches == [8, 8, 4]


@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton")
def test_the_kernel_is_launched_on_the_device_of_its_tensors(monkeypatch):
    from zoo.smoothing import fused_noise

    current, launches = ["another device"], []

    @contextmanager
    def on_device(device):
        current.append(device)
        yield
        current.pop()

    class Kernel:
        def __getitem__(self, grid):
            return lambda out_MCHW, *_: launches.append((len(out_MCHW), current[-1]))

    monkeypatch.setattr(fused_noise, "_write_noisy", Kernel())
    monkeypatch.setattr(torch.cuda, "device", on_device)
    with simulated_device():
        fused_noise.noisy_images(DeviceMemory(CUDA).moved([draws_of(0)]))
    assert launches == [(10, CUDA)]


def test_steps_of_the_engine_exchange_two_copies_also_while_jobs_come_and_go():
    with simulated_device() as traffic:
        engine = CertificationEngine(sampler_on_device(batch_size=16))
        for number in range(4):
            engine.admit(certification(number))
        steps = 0
        traffic.clear()
        while engine.num_open:
            engine.step()
            steps += 1
        assert steps > 3
        assert traffic.copies_in.total() <= steps and traffic.copies_out.total() <= steps
        assert traffic.waits.total() <= steps, traffic


class Logged(Slopes):
    """Writes each batch into the traffic's log, and all that it has seen into a list."""

    def __init__(self, traffic):
        super().__init__()
        self.log, self.seen = traffic.log, []

    def forward(self, x_BCHW):
        self.log.append(("batch", len(x_BCHW)))
        self.seen.append(x_BCHW.values_.numpy().tobytes())
        return super().forward(x_BCHW)


def run_jobs(jobs, *, network=Logged, batch_size=16, is_ahead=True, forgotten=None):
    """Certifies as offline drivers do: a job is admitted where the open ones do not fill a batch.

    The answers, the batches that the network saw, the kinds of each step in the log of the traffic, and the log.
    """
    waiting, answers, steps = list(jobs), {}, []
    with simulated_device() as traffic:
        engine = CertificationEngine(sampler_on_device(network := network(traffic), batch_size=batch_size))
        if not is_ahead:
            engine.sampler = NotAhead(engine.sampler)
        traffic.clear()
        while waiting or engine.num_open:
            while waiting and engine.num_remaining < batch_size:
                engine.admit(waiting.pop(0))
            first = len(traffic.log)
            answers |= {each.id: each.result for each in engine.step()}
            steps.append([kind for kind, _ in traffic.log[first:]])
            if len(steps) == 3 and forgotten is not None:
                engine.forget([forgotten])
        return SimpleNamespace(answers=answers, seen=network.seen, steps=steps, log=list(traffic.log))


class NotAhead:
    """A sampler whose votes are read before the next batch."""

    computes_ahead = False

    def __init__(self, sampler):
        self.sampler = sampler

    def __getattr__(self, name):
        return getattr(self.sampler, name)


def job(number, *, n=40, stopping=None, noise="gaussian"):
    x_CHW = picture(number) if noise == "gaussian" else (np.rint(picture(number) * 255) / 255).astype(np.float32)
    spec = SmoothingSpec(sigma=0.5, n0=10, n=None if stopping else n, stopping=stopping, noise=noise)
    return Certification(number, torch.from_numpy(x_CHW), smoothing=spec, key=NoiseKey(7, number))


def prediction(number):
    x_CHW = torch.from_numpy(picture(number))
    return Prediction(number, x_CHW, sigma=0.5, n=30, alpha=0.1, key=NoiseKey(8, number))


@pytest.fixture
def fast_noise(monkeypatch):
    """The device's noise without the simulation of each of its operations."""

    def kernel(draws):
        tensors = (draws.images_NCHW, draws.words_M5, draws.position_M, draws.sigma_M)
        return DeviceTensor(noisy_by_operations(DeviceDraws(*(tensor.values_ for tensor in tensors))))

    monkeypatch.setattr("zoo.smoothing.noisy_batch._kernel", lambda device: kernel)


def test_the_next_batch_is_enqueued_before_the_votes_of_the_last_are_read(fast_noise):
    run = run_jobs([job(number) for number in range(3)])
    batch = ["in", "batch", "out"]
    assert run.steps[0] == batch, "the first step leaves its batch on the device"
    assert all(step == [*batch, "wait"] for step in run.steps[1:]), run.steps
    kinds = [kind for kind, _ in run.log]
    waits, batches = (np.flatnonzero([each == kind for each in kinds]) for kind in ("wait", "batch"))
    assert len(waits) == len(run.steps) - 1 and len(batches) == len(run.steps) == 10
    assert (waits[:-1] > batches[1:-1]).all() and kinds[-1] == "wait"


LABEL_SETS = LabelSetSpec(
    radius=0.25, alpha=0.1, sigma=0.5, noise="gaussian", threshold=1.0, num_calibration_images=99, task="pets",
    backend="torch-cuda-float32",
)  # fmt: skip
MIXES = {
    "fixed": lambda: [job(number, n=30 + number) for number in range(4)],
    "both noises": lambda: [job(number, noise=("gaussian", "discrete")[number % 2]) for number in range(4)],
    "at-radius": lambda: [job(number, stopping=AtRadius(0.2, max_n=100)) for number in range(3)],
    "anytime": lambda: [job(number, stopping=Anytime(80)) for number in range(3)],
    "all": lambda: [
        job(0, n=60), prediction(1), job(2, stopping=AtRadius(0.2, max_n=100)), job(3), prediction(4),
        LabelSetJob(5, torch.from_numpy(picture(5)), spec=LABEL_SETS, key=NoiseKey(9, 5)),
        job(6, stopping=Anytime(80)), job(7, n=50), job(8),
    ],
}  # fmt: skip


@pytest.mark.parametrize("mix", MIXES)
def test_draws_steps_and_answers_are_those_of_an_engine_that_reads_every_batch_first(mix, fast_noise):
    forgotten = 1 if mix == "all" else None
    ahead, read_first = (run_jobs(MIXES[mix](), is_ahead=is_ahead, forgotten=forgotten) for is_ahead in (True, False))
    answers, expected = (
        {id: result for id, result in run.answers.items() if id != forgotten} for run in (ahead, read_first)
    )
    assert answers == expected and len(answers) == len(MIXES[mix]()) - (forgotten is not None)
    assert ahead.seen == read_first.seen, "the copies that the network saw, in order, with those that fill a batch"
    assert max(step.count("wait") for step in ahead.steps) == 1
    assert max(step.count("out") for step in ahead.steps) == 1
    assert (ahead.log != read_first.log) == (mix not in ("at-radius", "anytime")), "some batch was enqueued ahead"


def test_a_batch_comes_after_the_last_one_also_if_its_caller_is_on_another_stream(fast_noise, monkeypatch):
    waited = []
    monkeypatch.setattr(Stream, "wait_event", lambda stream, event: waited.append(event))
    with simulated_device():
        sampler = sampler_on_device()
        enqueued = [sampler.enqueue([draws_of(seed)]) for seed in range(3)]
        assert waited == [enqueued[0].event, enqueued[1].event] and None not in waited
        sampler.enqueue([])  # leaves nothing to wait for, but the batch before it may still run
        waited.clear()
        sampler.copies(draws_of(0, num=1))
        assert waited == [enqueued[2].event]


@pytest.mark.parametrize("is_apart", [[True, False], [False, False, True]])
def test_a_step_apart_reads_the_votes_that_a_step_has_left(fast_noise, is_apart):
    expected = run_jobs([job(number) for number in range(3)]).answers
    with simulated_device():
        engine, answers = CertificationEngine(sampler_on_device(batch_size=16)), {}
        for number in range(3):
            engine.admit(job(number))
        for apart in cycle(is_apart):
            answers |= {each.id: each.result for each in (engine.step_apart()[0] if apart else engine.step())}
            if engine.num_open == 0:
                break
    assert answers == expected


def test_memory_that_runs_out_while_votes_are_on_the_device_changes_none_and_renames_later_jobs_only(fast_noise):
    class Cramped(Logged):
        def forward(self, x_BCHW):
            if len(self.seen) >= 4 and len(x_BCHW) > 5:
                raise RuntimeError("CUDA out of memory")
            return super().forward(x_BCHW)

    ahead, read_first = (run_jobs([job(0), job(1)], network=Cramped, is_ahead=each) for each in (True, False))
    assert (ahead.answers, ahead.seen) == (read_first.answers, read_first.seen)
    name = "torch-cuda-float32"
    assert [ahead.answers[id].backend for id in (0, 1)] == [name, f"{name} (batch 4: memory ran out at 16)"]


def test_a_logit_that_is_not_finite_is_refused_by_the_step_that_reads_it(fast_noise):
    class Broken(Slopes):
        def forward(self, x_BCHW):
            return super().forward(x_BCHW) * torch.nan

    with simulated_device():
        engine = CertificationEngine(sampler_on_device(Broken()))
        engine.admit(job(0))
        assert engine.step() == []
        with pytest.raises(CertificationError, match="a logit that is not finite"):
            engine.step()


def test_words_and_images_go_to_the_device_once_also_if_other_jobs_are_served_in_between(fast_noise):
    with simulated_device() as traffic:
        engine = CertificationEngine(sampler_on_device(batch_size=16))
        traffic.clear()
        jobs = [job(0, n=200), job(1, n=50), job(2, n=20), job(3, n=20)]
        shares = []
        while jobs or engine.num_open:
            if jobs:
                engine.admit(jobs.pop(0))
            before = traffic.num_bytes("in")
            engine.step()
            shares.append(traffic.num_bytes("in") - before)
    draws, image = 290 + 40, picture(0).nbytes
    assert traffic.num_bytes("in") == draws * 7 * 4 + 4 * image, shares


@pytest.mark.parametrize("bound", [("BYTES_OF_IMAGES", 3 * 3 * 6 * 6 * 4), ("NUM_IMAGES", 3)])
def test_images_on_the_device_are_bounded_and_those_of_other_shapes_are_given_up(bound, monkeypatch):
    monkeypatch.setattr(f"zoo.smoothing.device_noise.{bound[0]}", bound[1])
    memory, held = DeviceMemory(CUDA), [draws_of(seed, num=1) for seed in range(5)]
    small = replace(held[0], x_CHW=np.ones((3, 2, 2), dtype=np.float32))
    with simulated_device() as traffic:
        sizes = []
        for draws in ([0], [1], [2], [0], [3], [1, 2], [0, 1, 2, 3], [3]):
            on_device = memory.moved([held[seed] for seed in draws])
            sizes.append((len(on_device.images_NCHW), (traffic.log[-1][1] - 28 * len(draws)) // picture(0).nbytes))
            seen = on_device.images_NCHW[on_device.position_M].cpu().numpy()
            assert np.array_equal(seen, np.stack([picture(seed) for seed in draws]))
        assert memory.moved([small]).images_NCHW.shape == (1, 3, 2, 2)
        del held[:], small
        assert len(memory.moved([draws_of(7)]).images_NCHW) == 1, "nobody holds the others"
    assert sizes == [(1, 1), (2, 1), (3, 1), (3, 0), (3, 1), (3, 0), (4, 1), (4, 0)]


def test_discrete_noise_and_logits_beside_gaussian_votes():
    discrete, gaussian = draws_of(2, noise="discrete", num=5), draws_of(0, num=6)
    reading = draws_of(1, num=4, reads_logits=True)
    with simulated_device():
        votes = sampler_on_device().votes([discrete, gaussian, reading])
    on_cpu = NoisySampler(TorchBackend(Slopes(), num_classes=3), SamplingOptions(batch_size=8))
    assert votes[0].tolist() == on_cpu.votes([discrete])[0].tolist()
    assert votes[1].tolist() == expected_classes(gaussian)
    assert votes[2].shape == (4, 3)
    assert votes[2].argmax(axis=1).tolist() == expected_classes(draws_of(1, num=4))


def test_a_network_that_was_left_on_the_cpu_is_noticed():
    class Forgotten(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = torch.ones(3, 1, 1)  # neither a parameter nor a buffer, so it does not move
            self.slopes = Slopes()

        def forward(self, x_BCHW):
            return self.slopes(x_BCHW + self.shift)

    with simulated_device(), pytest.raises(DeviceMixError):
        sampler_on_device(Forgotten()).votes([draws_of(0)])


def test_a_network_that_waits_for_the_device_is_noticed():
    class Waiting(Slopes):
        def forward(self, x_BCHW):
            logits_BK = super().forward(x_BCHW)
            return logits_BK * 2 if float(logits_BK.max()) > 1e9 else logits_BK

    with simulated_device() as traffic:
        sampler = sampler_on_device(Waiting())
        traffic.clear()
        sampler.votes([draws_of(0, num=8)])
        assert traffic.waits.total() == 2


def test_a_logit_that_is_not_finite_is_refused_with_the_batches_around_it():
    class Broken(Slopes):
        def forward(self, x_BCHW):
            logits_BK = super().forward(x_BCHW)
            return torch.where(x_BCHW[:, 0, 0, 0, None] > 0.9, torch.nan, logits_BK)

    with simulated_device(), pytest.raises(CertificationError, match="a logit that is not finite"):
        sampler_on_device(Broken()).votes([draws_of(0, num=40)])


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: out of memory",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "backend='inductor' raised: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "Triton Error [CUDA]: out of memory",
    ],
)
def test_memory_that_runs_out_in_a_library_halves_the_batch(message):
    class Cramped(Slopes):
        def forward(self, x_BCHW):
            if len(x_BCHW) > 3:
                raise RuntimeError(message)
            return super().forward(x_BCHW)

    with simulated_device():
        sampler = sampler_on_device(Cramped())
        (votes,) = sampler.votes([draws_of(0)])
    assert votes.tolist() == expected_classes(draws_of(0))
    assert sampler.backend == "torch-cuda-float32 (batch 2: memory ran out at 8)"


def test_memory_that_runs_out_in_the_kernel_of_the_noise_halves_the_batch(monkeypatch):
    def kernel(draws):
        if len(draws) > 3:
            raise RuntimeError("Triton Error [CUDA]: out of memory")
        return noisy_by_operations(draws)

    monkeypatch.setattr("zoo.smoothing.noisy_batch._kernel", lambda device: kernel)
    with simulated_device():
        sampler = sampler_on_device()
        (votes,) = sampler.votes([draws_of(0)])
    assert votes.tolist() == expected_classes(draws_of(0))
    assert sampler.backend == "torch-cuda-float32 (batch 2: memory ran out at 8)"


@pytest.mark.parametrize("has_room_without_others", [True, False])
def test_images_of_earlier_calls_make_room_for_those_of_a_call(has_room_without_others, fast_noise, monkeypatch):
    earlier, stack = draws_of(1), torch.stack

    def cramped(tensors, **options):
        if tensors[0].dim() == 3 and len(tensors) > has_room_without_others:  # images, not noise
            raise torch.OutOfMemoryError("CUDA out of memory")
        return stack(tensors, **options)

    with simulated_device():
        sampler = sampler_on_device()
        sampler.votes([earlier])
        monkeypatch.setattr("zoo.smoothing.device_noise.torch.stack", cramped)
        if has_room_without_others:
            votes = sampler.votes([draws_of(0)])[0].tolist()
        else:
            with pytest.raises(OutOfMemoryError, match="not enough memory for the images of 10 draws"):
                sampler.votes([draws_of(0)])
        monkeypatch.undo()
    if has_room_without_others:
        assert votes == expected_classes(draws_of(0))
    assert sampler.backend == "torch-cuda-float32", "smaller batches would not help"


def test_draws_with_discrete_noise_send_their_copies_only():
    asked = draws_of(0, noise="discrete", num=8)
    with simulated_device() as traffic:
        sampler = sampler_on_device()
        traffic.clear()
        sampler.votes([asked])
        assert traffic.num_bytes("in") == 8 * asked.x_CHW.nbytes


def test_another_error_of_a_library_is_not_taken_for_memory():
    class Wrong(Slopes):
        def forward(self, x_BCHW):
            raise RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")

    with simulated_device(), pytest.raises(RuntimeError, match="EXECUTION_FAILED") as caught:
        sampler_on_device(Wrong()).votes([draws_of(0)])
    assert not isinstance(caught.value, OutOfMemoryError)
