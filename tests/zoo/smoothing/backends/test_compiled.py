"""A compiled network in a CUDA graph, on the simulated device: a replay of the fake graph computes from its memory."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from types import SimpleNamespace

import pytest
import torch

from tests.simulated_device import CUDA, simulated_device
from tests.simulated_graphs import Graph, simulated_graphs
from tests.zoo.smoothing.slopes import Slopes
from training.evaluation.attack_targets import attackable_network
from zoo.errors import BackendError, OutOfMemoryError, RequestError
from zoo.smoothing import NoiseKey, NoisySampler, SamplingOptions
from zoo.smoothing.backends import CompiledBackend, can_compile
from zoo.smoothing.backends.compiled import GraphedNetwork
from zoo.smoothing.noise import Draws, Phase


@pytest.fixture
def device(monkeypatch):
    """The traffic of the simulated device, where networks can be compiled and captured."""
    with simulated_graphs(monkeypatch), simulated_device() as traffic:
        yield traffic


def compiled(network=None):
    return CompiledBackend(network or Slopes(), num_classes=3, device=CUDA)


def draws_of(seed, num=20):
    x_CHW = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(seed)).numpy()
    return Draws(x_CHW, 0.5, "gaussian", NoiseKey(7, seed), Phase.ESTIMATION, 0, num)


def votes_of(base, *draws, batch_size=8):
    return [votes.tolist() for votes in NoisySampler(base, SamplingOptions(batch_size=batch_size)).votes(draws)]


def test_votes_of_replays_are_those_of_the_network_with_one_graph_for_all_batches(device):
    base, asked = compiled(), (draws_of(0), draws_of(1, num=9))
    votes = votes_of(base, *asked)
    assert votes == votes_of(base.eager, *asked) and len({label for labels in votes for label in labels}) > 1
    assert base.name == "torch-cuda-compiled-float32" and Graph.num_captured == 1


def test_a_replay_exchanges_nothing_with_the_host(device):
    sampler = NoisySampler(compiled(), SamplingOptions(batch_size=8))
    sampler.votes([draws_of(0)])
    device.clear()
    sampler.votes([draws_of(0), draws_of(1)])
    assert (device.copies_in.total(), device.copies_out.total(), device.waits.total()) == (1, 1, 1), device


def test_logits_stay_when_the_next_batch_is_replayed(device):
    base, zeros_BCHW, ones_BCHW = compiled(), torch.zeros(2, 3, 6, 6), torch.ones(2, 3, 6, 6)
    first_BK = base.enqueue(zeros_BCHW)
    before_BK = first_BK.cpu()
    second_BK = base.enqueue(ones_BCHW)
    assert torch.equal(first_BK.cpu(), before_BK) and not torch.equal(second_BK.cpu(), before_BK)


def test_two_threads_do_not_copy_into_the_input_of_a_graph_at_once(device):
    network, both_inside = GraphedNetwork(Slopes(), CUDA), Barrier(2)

    def replayed(x_BCHW):
        with pytest.raises(BrokenBarrierError):
            both_inside.wait(0.1)
        return x_BCHW

    x_BCHW = torch.zeros(2, 3, 6, 6)
    network._graph = SimpleNamespace(x_BCHW=x_BCHW, replayed=replayed)
    with ThreadPoolExecutor(2) as threads:
        assert len(list(threads.map(network, [x_BCHW, x_BCHW]))) == 2


def test_a_replay_has_no_gradients_so_it_is_not_attacked(device):
    with pytest.raises(RequestError, match="which the backend torch-cuda-compiled-float32 does not have"):
        attackable_network(compiled(), SimpleNamespace(name="pgd"))


def test_memory_that_runs_out_during_a_capture_halves_the_batch(device, monkeypatch):
    monkeypatch.setattr(Graph, "largest_batch", 4)
    base = compiled()
    sampler = NoisySampler(base, SamplingOptions(batch_size=8))
    assert sampler.votes([draws_of(0)])[0].tolist() == votes_of(base.eager, draws_of(0))[0]
    assert sampler.backend == "torch-cuda-compiled-float32 (batch 4: memory ran out at 8)"
    with pytest.raises(OutOfMemoryError, match="a batch of 5 images"):
        base.classify(torch.zeros(5, 3, 6, 6))


def test_a_network_that_cannot_be_compiled_is_refused_with_the_reason(device):
    class Uncompilable(Slopes):
        def forward(self, x_BCHW):
            raise ValueError("an operator that no compiler knows\nwith a long trace")

    with pytest.raises(BackendError, match=r"\(an operator that no compiler knows\): choose --backend torch$"):
        compiled(Uncompilable()).classify(torch.zeros(2, 3, 6, 6))


def test_whether_a_device_compiles_is_tried_once_and_said_once(device, monkeypatch, caplog):
    assert can_compile(CUDA) and not caplog.records
    can_compile.cache_clear()
    monkeypatch.setattr(torch, "compile", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("no C compiler")))
    assert [can_compile(CUDA) for _ in range(2)] == [False, False]
    assert [record.getMessage() for record in caplog.records] == [
        "PyTorch does not compile networks on cuda:0, so they run uncompiled: no C compiler"
    ]
