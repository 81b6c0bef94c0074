"""Two real processes over gloo with a share of the batch each do what one process does with the whole."""

import pytest
import torch
from torch.multiprocessing import start_processes

from tests.processes import FORKING
from tests.training.objectives.samples import Smooth
from tests.training.objectives.two_ranks import (
    SHARES,
    act_as_rank,
    contrastive_loss,
    parameter_gradient,
    perturbed_loss,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each rank found."""
    folder = tmp_path_factory.mktemp("ranks")
    start_processes(act_as_rank, args=(folder,), nprocs=2, start_method=FORKING.get_start_method())
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def mean(values):
    return sum(values) / len(values)


def test_gathered_rows_are_those_of_all_ranks_in_order(results):
    for rank, start in ((0, 0), (1, SHARES[0])):
        assert results[rank]["gathered"].tolist() == [[0.0, 0.0]] * SHARES[0] + [[1.0, 1.0]] * SHARES[1]
        assert results[rank]["offset"] == start


def test_the_mean_over_all_views_is_the_contrastive_loss_of_the_whole_batch(results):
    whole = contrastive_loss(Smooth(), 0, sum(SHARES)).item()
    losses = [result["contrastive"].item() for result in results]
    weighted = sum(loss * share for loss, share in zip(losses, SHARES, strict=True)) / sum(SHARES)
    assert weighted == pytest.approx(whole, abs=1e-9)
    assert mean(losses) != pytest.approx(whole, abs=1e-4)  # shares of unequal size need their weight
    alone = [contrastive_loss(Smooth(), start, end).item() for start, end in ((0, 3), (3, 5))]
    assert losses != pytest.approx(alone, abs=1e-2)  # the other rank's views are negatives


def test_the_averaged_gradient_of_weighted_losses_is_that_of_the_whole_batch(results):
    network = Smooth()
    whole = parameter_gradient(contrastive_loss(network, 0, sum(SHARES)), network)
    gradients = [result["contrastive_gradient"] for result in results]
    torch.testing.assert_close(mean(gradients), whole, atol=1e-9, rtol=1e-7)
    assert not torch.allclose(gradients[0], whole, atol=1e-3)


def test_weights_are_perturbed_along_the_gradient_of_the_whole_batch(results):
    network = Smooth()
    loss = perturbed_loss(network, 0, 4)
    assert mean([result["perturbed"].item() for result in results]) == pytest.approx(loss.item(), abs=1e-9)
    gradients = [result["perturbed_gradient"] for result in results]
    torch.testing.assert_close(mean(gradients), parameter_gradient(loss, network), atol=1e-9, rtol=1e-7)
    alone = [perturbed_loss(Smooth(), start, start + 2).item() for start in (0, 2)]
    assert mean(alone) != pytest.approx(loss.item(), abs=1e-4)  # each along its own gradient ends elsewhere
