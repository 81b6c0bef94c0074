"""Every loss against an independent, straight-line computation, and in its degenerate cases."""

import math

import pytest
import torch
from torch.nn import functional as F

from training.objectives import OBJECTIVES, Batch, Progress, find_objective
from training.objectives.consistency import Consistency
from training.objectives.gaussian import Gaussian
from training.objectives.objective import gaussian_noise
from training.objectives.standard import Standard
from training.objectives.table import objective_name
from zoo.errors import UnknownNameError

LATE = Progress(epochs=100.0)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.rand(4, 3, 5, 5, generator=generator), torch.tensor([0, 2, 1, 2]))


@pytest.fixture
def model():
    weight = torch.randn(3, 75, generator=torch.Generator().manual_seed(2), dtype=torch.float32)
    return lambda x_BCHW: 0.3 * x_BCHW.flatten(1) @ weight.T


def rng():
    return torch.Generator().manual_seed(3)


def consistency_by_hand(model, batch, *, sigma, m, lbd, eta, weight=1.0):
    """Equations 8 and 9 of Jeong and Shin 2020 with one scalar at a time, on the noise that the objective draws."""
    copies = batch.x_BCHW.repeat(m, 1, 1, 1)
    noisy = copies + gaussian_noise(copies, sigma, rng())
    logits = [[model(noisy[i * 4 + b : i * 4 + b + 1])[0].tolist() for b in range(4)] for i in range(m)]
    total = 0.0
    for b in range(4):
        probabilities = []
        for i in range(m):
            exponentials = [math.exp(value) for value in logits[i][b]]
            probabilities.append([value / sum(exponentials) for value in exponentials])
        mean = [sum(p[k] for p in probabilities) / m for k in range(3)]
        for p in probabilities:
            total += -math.log(p[int(batch.labels_B[b])]) / m
            total += weight * lbd / m * sum(mean[k] * math.log(mean[k] / p[k]) for k in range(3))
        total += weight * eta * -sum(q * math.log(q) for q in mean)
    return total / 4


@pytest.mark.parametrize("m", [1, 2, 3])
def test_consistency_equals_the_computation_by_hand(m, model, batch):
    objective = Consistency(sigma=0.5, m=m, lbd=5.0, eta=0.5)
    loss = objective(model, batch, progress=LATE, generator=rng()).loss
    assert float(loss) == pytest.approx(consistency_by_hand(model, batch, sigma=0.5, m=m, lbd=5.0, eta=0.5), abs=1e-5)


def test_the_weight_of_the_regularizer_rises_over_its_warmup(model, batch):
    objective = Consistency(sigma=0.5, warmup_epochs=4.0)
    for epochs, weight in ((0.0, 0.0), (1.0, 0.25), (4.0, 1.0), (9.0, 1.0)):
        loss = objective(model, batch, progress=Progress(epochs=epochs), generator=rng()).loss
        by_hand = consistency_by_hand(model, batch, sigma=0.5, m=2, lbd=5.0, eta=0.5, weight=weight)
        assert float(loss) == pytest.approx(by_hand, abs=1e-5)


def test_without_its_regularizer_consistency_is_cross_entropy_on_m_noisy_copies(model, batch):
    loss = Consistency(sigma=0.5, lbd=0.0, eta=0.0)(model, batch, progress=LATE, generator=rng()).loss
    copies = batch.x_BCHW.repeat(2, 1, 1, 1)
    noisy = copies + gaussian_noise(copies, 0.5, rng())
    assert torch.allclose(loss, F.cross_entropy(model(noisy), batch.labels_B.repeat(2)))


@pytest.mark.parametrize("objective", [Consistency(sigma=0.0), Consistency(m=1)])
def test_one_copy_or_no_noise_leaves_nothing_to_disagree_about(objective, model, batch):
    output = objective(model, batch, progress=LATE, generator=rng())
    assert float(output.metrics["divergence"]) == pytest.approx(0, abs=1e-6)


def test_gaussian_is_cross_entropy_on_one_noisy_copy_and_standard_on_the_image(model, batch):
    loss = Gaussian(sigma=0.25)(model, batch, progress=LATE, generator=rng()).loss
    noisy = batch.x_BCHW + 0.25 * torch.randn(batch.x_BCHW.shape, generator=rng())
    assert torch.allclose(loss, F.cross_entropy(model(noisy), batch.labels_B))
    clean = F.cross_entropy(model(batch.x_BCHW), batch.labels_B)
    assert torch.equal(Gaussian(sigma=0.0)(model, batch, progress=LATE, generator=rng()).loss, clean)
    assert torch.equal(Standard()(model, batch, progress=LATE, generator=rng()).loss, clean)


def test_the_regularizer_stays_finite_for_certain_predictions(batch):
    logits_K = torch.tensor([1e4, -1e4, 0.0], requires_grad=True)
    loss = Consistency()(lambda x_BCHW: logits_K.repeat(len(x_BCHW), 1), batch, progress=LATE, generator=rng()).loss
    loss.backward()
    assert torch.isfinite(loss) and bool(logits_K.grad.isfinite().all())


def test_the_table_names_every_objective():
    assert sorted(OBJECTIVES) == ["consistency", "gaussian", "standard"]
    assert [objective_name(kind()) for kind in OBJECTIVES.values()] == list(OBJECTIVES)
    assert [kind().sigma for kind in OBJECTIVES.values()] == [0.5, 0.5, None]
    with pytest.raises(UnknownNameError, match="unknown objective"):
        find_objective("nonsense")
