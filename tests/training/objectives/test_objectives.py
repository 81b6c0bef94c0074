"""The table of objectives, the hyper-parameters they refuse, and what holds for all of them."""

import dataclasses
import math
from copy import deepcopy

import pytest
import torch

from tests.training.objectives.samples import Normalized, rng
from training.objectives import OBJECTIVES, Batch, find_objective
from training.objectives.adversarial import Adversarial
from training.objectives.consistency import Consistency
from training.objectives.denoise import Denoise
from training.objectives.gaussian import Gaussian
from training.objectives.macer import Macer
from training.objectives.simclr import SimClr
from training.objectives.smoothadv import SmoothAdv
from training.objectives.smoothmix import SmoothMix
from training.objectives.standard import Standard
from training.objectives.table import objective_name
from training.objectives.trades import Trades
from zoo.errors import RecipeError, UnknownNameError

NAN = math.nan
KINDS = list(OBJECTIVES.values())
LEARNING_CLASSES = [kind for kind in KINDS if kind.learns_classes]
ATTACKING = {"epsilon": (-1, NAN), "num_steps": (-1, 0, NAN), "relative_step_size": (-1, NAN), "norm": ("l1",)}
PERTURBING = {"awp_gamma": (-1, NAN), "awp_warmup_epochs": (-1, NAN)}
NONSENSE = {
    Adversarial: ATTACKING | PERTURBING,
    Consistency: {
        "sigma": (-1, NAN), "m": (-1, 0, NAN), "lbd": (-1, NAN), "eta": (-1, NAN), "warmup_epochs": (-1, NAN),
    },
    Denoise: {
        "sigma": (-1, 0, NAN), "loss": ("l1",), "depth": (2, 101, NAN), "width": (0, 1025, NAN),
        "downsampling": (0, 9, NAN), "estimates": ("both",),
    },
    Gaussian: {"sigma": (-1, NAN)},
    Macer: {
        "sigma": (-1, NAN), "m": (-1, 0, NAN), "lbd": (-1, NAN), "beta": (-1, 0, NAN), "gamma": (-1, NAN),
        "deferred_epochs": (-1, NAN),
    },
    SimClr: {"temperature": (-1, 0, NAN), "hidden": (-1, 0, NAN), "outputs": (-1, 0, NAN)},
    SmoothAdv: {
        "sigma": (-1, NAN), "m": (-1, 0, NAN), "epsilon": (-1, NAN), "num_steps": (-1, 0, NAN),
        "warmup_epochs": (-1, NAN), "attack": ("fgsm",),
    },
    SmoothMix: {
        "sigma": (-1, NAN), "m": (-1, 0, NAN), "num_steps": (-1, 0, NAN), "alpha": (-1, NAN), "eta": (-1, NAN),
        "warmup_epochs": (-1, NAN),
    },
    Standard: {},
    Trades: ATTACKING | PERTURBING | {"beta": (-1, NAN)},
}  # fmt: skip
CASES = [
    pytest.param(kind, field, value, id=f"{kind.__name__}-{field}-{value}")
    for kind, fields in NONSENSE.items()
    for field, values in fields.items()
    for value in values
]


def test_the_table_names_every_objective():
    expected = {
        "adversarial": Adversarial,
        "consistency": Consistency,
        "denoise": Denoise,
        "gaussian": Gaussian,
        "macer": Macer,
        "simclr": SimClr,
        "smoothadv": SmoothAdv,
        "smoothmix": SmoothMix,
        "standard": Standard,
        "trades": Trades,
    }
    assert expected == OBJECTIVES
    assert [objective_name(kind()) for kind in KINDS] == list(OBJECTIVES)
    assert [find_objective(name) for name in OBJECTIVES] == KINDS
    with pytest.raises(UnknownNameError, match="unknown objective"):
        find_objective("nonsense")


def test_methods_that_smooth_have_a_sigma_and_the_others_none():
    smoothing = ("consistency", "denoise", "gaussian", "macer", "smoothadv", "smoothmix")
    assert {name: kind().sigma for name, kind in OBJECTIVES.items()} == {
        name: 0.5 if name in smoothing else None for name in OBJECTIVES
    }
    assert [OBJECTIVES[name](sigma=0.25).sigma for name in smoothing] == [0.25] * 6


def test_only_simclr_looks_at_two_views_and_only_it_and_denoise_at_no_labels():
    assert [kind for kind in KINDS if kind.num_views == 2] == [SimClr]
    assert [kind for kind in KINDS if not kind.learns_classes] == [Denoise, SimClr]


@pytest.mark.parametrize(("kind", "field", "value"), CASES)
def test_nonsense_in_a_field_is_refused_by_its_name(kind, field, value):
    with pytest.raises(RecipeError, match=rf"\b{field} must be .*, got "):
        kind(**{field: value})


def test_every_field_but_flags_is_in_the_table_of_nonsense():
    for kind, fields in NONSENSE.items():
        names = {field.name for field in dataclasses.fields(kind)}
        assert {name for name in names if not isinstance(getattr(kind(), name), bool)} == set(fields)
    assert list(NONSENSE) == KINDS


@pytest.mark.parametrize(
    "objective",
    [Adversarial(epsilon=0, awp_gamma=0, awp_warmup_epochs=0), Consistency(sigma=0, m=1, lbd=0, eta=0),
     Gaussian(sigma=0), Macer(sigma=0, m=1, lbd=0, gamma=0, deferred_epochs=0),
     SmoothAdv(sigma=0, m=1, epsilon=0, num_steps=1, warmup_epochs=0),
     SmoothMix(sigma=0, m=1, num_steps=1, eta=0, warmup_epochs=0), Standard(), Trades(epsilon=0, beta=0)],
    ids=lambda objective: objective_name(objective),
)  # fmt: skip
def test_with_all_at_nothing_every_method_is_standard_training(objective, smooth, batch, late):
    loss = objective(smooth, batch, progress=late, generator=rng()).loss
    clean = Standard()(smooth, batch, progress=late, generator=rng()).loss
    assert loss.item() == pytest.approx(clean.item(), abs=1e-6)


@pytest.mark.parametrize("kind", LEARNING_CLASSES)
def test_the_loss_is_in_train_mode_and_leaves_no_trace_of_an_attack(kind, batch, late):
    network = Normalized().train()
    network.conv.bias.requires_grad_(False)
    network.last.eval()  # a part that was in eval mode before is so afterwards
    before = deepcopy(network)
    output = kind()(network, batch, progress=late, generator=rng())

    assert network.modes[-1] and [part.training for part in network.modules()] == [
        part.training for part in before.modules()
    ]
    assert [p.requires_grad for p in network.parameters()] == [p.requires_grad for p in before.parameters()]
    assert all(p.grad is None for p in network.parameters())
    for name, parameter in before.named_parameters():
        assert torch.equal(parameter, network.get_parameter(name))
    passes = network.modes.count(True)
    assert int(network.norm.num_batches_tracked) == passes
    assert output.loss.shape == () and all(not value.requires_grad for value in output.metrics.values())
    output.loss.backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


@pytest.mark.parametrize("kind", LEARNING_CLASSES)
def test_the_loss_of_a_batch_is_the_mean_of_its_images_losses(kind, smooth, batch, late):
    """In whatever order they come and whatever company they have: noise is the image's own."""
    whole = kind()(smooth, batch, progress=late, generator=rng()).loss.item()
    alone = []
    for row in (2, 0, 3, 1):
        own = slice(row, row + 1)
        single = Batch(batch.x_BCHW[own], batch.labels_B[own], batch.numbers_B[own])
        alone.append(kind()(smooth, single, progress=late, generator=rng()).loss.item())
    assert sum(alone) / 4 == pytest.approx(whole, abs=1e-9) and len(set(alone)) == 4


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Denoise])  # its model returns images
def test_a_batch_in_single_precision_gives_the_same_loss(kind, smooth, batch, late):
    exact = kind()(smooth, batch, progress=late, generator=rng()).loss
    narrow = Batch(batch.x_BCHW.float(), batch.labels_B, batch.numbers_B)
    loss = kind()(smooth.float(), narrow, progress=late, generator=rng()).loss
    assert loss.dtype == torch.float32 and torch.isfinite(loss)
    if kind().sigma is None and kind is not Trades:  # no noise, which is drawn anew in single precision
        assert loss.item() == pytest.approx(exact.item(), abs=1e-4)


@pytest.mark.parametrize("kind", LEARNING_CLASSES)
@pytest.mark.parametrize("scale", [0.0, 50.0, 1e4])
def test_loss_and_gradient_are_finite_for_undecided_and_for_certain_networks(kind, scale, smooth, batch, late):
    network = smooth.float()
    with torch.no_grad():
        network.outer.mul_(scale)
    narrow = Batch(batch.x_BCHW.float(), batch.labels_B, batch.numbers_B)
    loss = kind()(network, narrow, progress=late, generator=rng()).loss
    loss.backward()
    assert torch.isfinite(loss) and all(bool(p.grad.isfinite().all()) for p in network.parameters())
