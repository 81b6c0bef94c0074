"""Auto-PGD: the authors' images from the authors' starts, inside the threat model to the last digit, never weak."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from training.attacks import apgd, pgd, under_attack
from training.attacks.losses import LOSSES, find_loss
from training.attacks.perturbations import strictly_inside
from training.tasks import open_task
from training.tasks.loading import EvaluationImages
from training.threat import ThreatModel
from zoo.errors import RequestError, UnknownNameError
from zoo.models.preprocessing import to_pixels

NORMS = ("l2", "linf")
SHAPE = (3, 4, 4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(num_classes, *, scale=1.0):
    """A network whose logits are linear in the image, in random directions through the middle of the box."""
    weight_KD = scale * torch.randn(num_classes, math.prod(SHAPE), generator=seeded(2))
    return lambda x_BCHW: (x_BCHW - 0.5).flatten(1) @ weight_KD.to(x_BCHW.dtype).T


def curved(num_classes=4):
    """A small network with many bends."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SHAPE), 32), nn.Tanh(), nn.Linear(32, num_classes))


def images(size=16, *, dtype=torch.float32):
    return (3 * torch.rand(size, *SHAPE, generator=seeded(1), dtype=dtype) - 1).clamp(0, 1)  # many pixels at the edge


def labels_of(network, x_BCHW):
    with torch.no_grad():
        return network(x_BCHW).argmax(dim=1)


def lengths(answer, x_BCHW, norm):
    """Of the changes, in float64."""
    change = (answer.double() - x_BCHW.double()).flatten(1)
    return change.norm(dim=1) if norm == "l2" else change.abs().amax(dim=1)


def num_right(network, x_BCHW, labels_B):
    return int((labels_of(network, x_BCHW) == labels_B).sum())


@pytest.fixture(scope="module")
def digits(digits_checkpoint, tmp_path_factory):
    """`(network, x_BCHW, labels_B)`: a trained network and 50 test images."""
    task = open_task("digits", data_dir=tmp_path_factory.mktemp("data"))
    tested = EvaluationImages(task.test, digits_checkpoint.spec.preprocessing)
    pairs = [tested[index] for index in range(0, 350, 7)]
    x_BCHW = to_pixels(torch.stack([x_bytes for x_bytes, _ in pairs]))
    return digits_checkpoint.load_network().eval(), x_BCHW, torch.tensor([label for _, label in pairs])


@pytest.mark.parametrize(
    ("norm", "epsilon", "restarts", "loss"),
    [("l2", 0.8, 1, "ce"), ("l2", 1.0, 2, "dlr"), ("linf", 0.06, 2, "ce"), ("linf", 0.05, 1, "dlr")],
)
def test_it_agrees_with_the_authors_attack_on_the_same_seed(norm, epsilon, restarts, loss, digits):
    """The same images robust, and the same adversarial images but for the ulp by which ours stay inside the ball."""
    reference = pytest.importorskip("pyautoattack.autopgd_base")
    network, x_BCHW, labels_B = digits
    theirs = reference.APGDAttack(
        network, n_iter=20, norm={"l2": "L2", "linf": "Linf"}[norm], n_restarts=restarts, eps=epsilon, seed=7,
        loss=loss, device="cpu",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        expected = theirs.perturb(x_BCHW, labels_B)
    threat = ThreatModel(norm=norm, epsilon=epsilon)
    answer = apgd(
        network, x_BCHW, labels_B, threat=threat, num_steps=20, num_restarts=restarts, loss=loss, generator=seeded(7)
    )
    torch.testing.assert_close(answer, expected, atol=1e-6, rtol=0)
    robust = num_right(network, answer, labels_B)
    assert abs(robust - num_right(network, expected, labels_B)) <= 0.001 * len(labels_B)
    assert 0.1 * len(labels_B) < robust < num_right(network, x_BCHW, labels_B)


def test_another_seed_gives_other_images(digits):
    """What the agreement rests on: the images are those of one start, not of any."""
    network, x_BCHW, labels_B = digits
    first, other = (
        apgd(network, x_BCHW, labels_B, threat=ThreatModel(epsilon=1.0), num_steps=5, generator=seeded(seed))
        for seed in (7, 8)
    )
    assert (first - other).abs().max().item() > 1e-3


@pytest.mark.parametrize("epsilon", [0.5, 1.0])
def test_it_is_never_weaker_than_pgd_of_three_steps(epsilon, digits):
    network, x_BCHW, labels_B = digits
    threat = ThreatModel(epsilon=epsilon)
    with under_attack(network) as target:
        by_pgd = pgd(
            lambda tried: LOSSES["ce"](target(tried), labels_B),
            x_BCHW,
            threat=threat,
            num_steps=3,
            step_size=2 / 3 * epsilon,
            keep_best=True,
        )
    by_apgd = apgd(network, x_BCHW, labels_B, threat=threat, num_steps=20, generator=seeded())
    assert num_right(network, by_apgd, labels_B) <= num_right(network, by_pgd, labels_B)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    norm=st.sampled_from(NORMS),
    epsilon=st.one_of(st.just(0.0), st.floats(1e-9, 1e-6), st.floats(1e-6, 1e-3), st.floats(0.01, 3.0)),
    num_steps=st.integers(1, 8),
    loss=st.sampled_from(["ce", "dlr"]),
    by_number=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 3),
)
def test_the_answer_is_in_the_ball_to_the_last_digit_and_in_the_box(
    norm, epsilon, num_steps, loss, by_number, dtype, seed
):
    network, x_BCHW = curved().to(dtype), images(dtype=dtype)
    answer = apgd(
        network,
        x_BCHW,
        labels_of(network, x_BCHW),
        threat=ThreatModel(norm=norm, epsilon=epsilon),
        num_steps=num_steps,
        loss=loss,
        generator=seeded(seed),
        numbers_B=torch.arange(len(x_BCHW)) if by_number else None,
    )
    assert answer.dtype == dtype and lengths(answer, x_BCHW, norm).max().item() <= epsilon
    assert answer.min().item() >= 0 and answer.max().item() <= 1


@pytest.mark.parametrize("norm", NORMS)
def test_projection_alone_leaves_some_images_outside_by_an_ulp(norm):
    """What the property above rests on; and shrinking moves no pixel by more than rounding does."""
    x_BCHW, threat = 0.3 + 0.4 * images(64), ThreatModel(norm=norm, epsilon=0.1)
    projected = threat.project(x_BCHW + torch.randn(x_BCHW.shape, generator=seeded(4)), x_BCHW)
    assert lengths(projected, x_BCHW, norm).max().item() > 0.1
    inside = strictly_inside(projected, x_BCHW, threat)
    assert lengths(inside, x_BCHW, norm).max().item() <= 0.1
    torch.testing.assert_close(inside, projected, atol=2e-7, rtol=0)


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_a_linear_network_is_broken_just_where_the_boundary_is_within_epsilon(norm, num_classes):
    """The distance to the boundary in closed form (Hoelder's inequality), where no pixel meets the box."""
    network = linear(num_classes)
    x_BCHW = 0.5 + 0.2 * (images(64) - 0.5)
    labels_B = labels_of(network, x_BCHW)
    weight_KD = torch.autograd.functional.jacobian(lambda x: network(x)[0], x_BCHW[:1]).reshape(num_classes, -1)
    dual = 2 if norm == "l2" else 1
    logits_BK = network(x_BCHW)
    distance_B = torch.stack([
        min(
            ((logits[label] - logits[other]) / (weight_KD[label] - weight_KD[other]).norm(p=dual)).item()
            for other in range(num_classes) if other != label
        ) * torch.ones(())
        for logits, label in zip(logits_BK, labels_B.tolist(), strict=True)
    ])  # fmt: skip
    epsilon = distance_B.median().item() * 1.01
    answer = apgd(network, x_BCHW, labels_B, threat=ThreatModel(norm=norm, epsilon=epsilon), generator=seeded())
    is_broken_B = labels_of(network, answer) != labels_B
    # With three classes cross-entropy may pull towards the one beyond reach.
    share = is_broken_B[distance_B < 0.98 * epsilon].double().mean().item()
    assert share == 1.0 if num_classes == 2 else 0.7 < share <= 1.0
    assert not bool(is_broken_B[distance_B > 1.0001 * epsilon].any())
    assert 20 < int(is_broken_B.sum()) < 44
    assert torch.equal(answer[~is_broken_B], x_BCHW[~is_broken_B])


def test_dlr_needs_three_classes_and_says_so():
    x_BCHW = images()
    two = linear(2)
    with pytest.raises(RequestError, match="needs at least 3 classes, and there are 2: use --loss ce"):
        apgd(two, x_BCHW, labels_of(two, x_BCHW), threat=ThreatModel(), loss="dlr", generator=seeded())
    three = linear(3)
    labels_B = labels_of(three, x_BCHW)
    answer = apgd(three, x_BCHW, labels_B, threat=ThreatModel(epsilon=3.0), loss="dlr", generator=seeded())
    assert num_right(three, answer, labels_B) == 0
    with pytest.raises(UnknownNameError, match="unknown loss 'cw'"):
        find_loss("cw", num_classes=10)


def test_dlr_is_the_ratio_of_the_paper_and_does_not_see_scale():
    """Equation 7 by hand: logits (5, 3, 1, 0); label 0 -> -(5-3)/(5-1), label 2 -> -(1-5)/(5-1)."""
    logits_BK = torch.tensor([[5.0, 3.0, 1.0, 0.0]] * 2)
    labels_B = torch.tensor([0, 2])
    for scale in (1.0, 100.0):
        loss_B = LOSSES["dlr"](scale * logits_BK, labels_B)
        torch.testing.assert_close(loss_B, torch.tensor([-0.5, 1.0]))


def test_restarts_attack_survivors_only_and_lose_nothing():
    network, x_BCHW = curved(), images(64)
    labels_B, sizes = labels_of(network, x_BCHW), []

    def watched(x):
        sizes.append(len(x))
        return network(x)

    threat = ThreatModel(epsilon=0.25)
    once, thrice = (
        apgd(watched, x_BCHW, labels_B, threat=threat, num_steps=5, num_restarts=num, generator=seeded())
        for num in (1, 3)
    )
    is_broken_B = labels_of(network, once) != labels_B
    assert 0 < int(is_broken_B.sum()) < 64
    assert torch.equal(thrice[is_broken_B], once[is_broken_B])  # found in the first search, not searched again
    assert num_right(network, thrice, labels_B) <= num_right(network, once, labels_B)
    assert set(sizes) == {64, 64 - int(is_broken_B.sum())}


def test_what_is_misclassified_already_is_not_attacked():
    network, x_BCHW = curved(), images()
    wrong_B = (labels_of(network, x_BCHW) + 1) % 4
    assert torch.equal(apgd(network, x_BCHW, wrong_B, threat=ThreatModel(), generator=seeded()), x_BCHW)


@pytest.mark.parametrize("norm", NORMS)
def test_by_number_an_image_is_attacked_alike_in_any_company(norm):
    network, x_BCHW = curved().double(), images(dtype=torch.float64)
    labels_B, numbers_B = labels_of(network, x_BCHW), torch.arange(100, 116)

    def attacked(places, *, by_number=True):
        return apgd(
            network,
            x_BCHW[places],
            labels_B[places],
            threat=ThreatModel(norm=norm, epsilon=0.5),
            num_steps=3,
            generator=seeded(),
            numbers_B=numbers_B[places] if by_number else None,
        )

    whole = attacked(list(range(16)))
    some = (labels_of(network, whole) != labels_B).nonzero().flatten().flip(0)[:4].tolist()
    assert len(some) == 4  # these were changed
    torch.testing.assert_close(attacked(some), whole[some], atol=1e-9, rtol=0)
    by_batch = attacked(list(range(16)), by_number=False)
    assert (attacked(some, by_number=False) - by_batch[some]).abs().max().item() > 1e-3


@pytest.mark.parametrize("norm", NORMS)
def test_a_network_that_is_sure_of_its_answers_is_broken_all_the_same(norm):
    """Its gradients are about 1e-25: their squares underflow, and in the authors' code so does the l2 step."""
    network = linear(3, scale=20.0)
    x_BCHW = 0.5 + 0.2 * (images() - 0.5)
    labels_B = labels_of(network, x_BCHW)
    answer = apgd(
        network, x_BCHW, labels_B, threat=ThreatModel(norm=norm, epsilon=2.0), num_steps=5, generator=seeded()
    )
    assert num_right(network, answer, labels_B) < len(labels_B)


def test_the_network_is_attacked_in_eval_mode_and_left_in_its_own():
    network = nn.Sequential(curved(), nn.Dropout(0.9)).train()
    x_BCHW = images()
    labels_B = labels_of(network[0], x_BCHW)
    first, second = (
        apgd(network, x_BCHW, labels_B, threat=ThreatModel(), num_steps=3, generator=seeded()) for _ in range(2)
    )
    assert torch.equal(first, second) and network.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())


def test_no_global_random_state_is_touched():
    network, x_BCHW = curved(), images()
    before = torch.random.get_rng_state()
    apgd(network, x_BCHW, labels_of(network, x_BCHW), threat=ThreatModel(), num_steps=2, generator=seeded())
    assert torch.equal(torch.random.get_rng_state(), before)
