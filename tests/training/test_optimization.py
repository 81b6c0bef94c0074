"""One step: parts that add up to the batch, mixed precision that attacks do not see, layouts that change nothing."""

from functools import partialmethod

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from training.attacks import under_attack
from training.objectives import Batch, ObjectiveOutput
from training.objectives.standard import Standard
from training.optimization import Optimization
from training.recipe import Sgd, TrainingRecipe
from zoo.models.architecture import build_network
from zoo.models.spec import Preprocessing

CPU = torch.device("cpu")


def network():
    torch.manual_seed(0)
    return build_network("resnet10-quarter", num_classes=3, preprocessing=Preprocessing(resize=16, crop=16))


def optimization(**fields):
    fields = {"objective": Standard(), "optimizer": Sgd(lr=0.1, weight_decay=0.0)} | fields
    return Optimization(network(), TrainingRecipe(**fields), CPU)


def batch(num=7):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (num, 3, 16, 16), generator=generator, dtype=torch.uint8), torch.arange(num) % 3


def cross_entropy(model, part):
    loss = F.cross_entropy(model(part.x_BCHW), part.labels_B)
    return ObjectiveOutput(loss=loss, metrics={"half": loss.detach() / 2})


def step(subject, cuts, check=lambda what, value: None):
    x_bytes, labels_B = batch()
    subject.network.eval()  # no batch statistics: an image's gradient then depends on that image alone
    parts = [
        Batch(subject.to_pixels(x_bytes[a:b]), labels_B[a:b], torch.arange(a, b))
        for a, b in zip([0, *cuts], [*cuts, 7], strict=True)
    ]
    return subject.step(parts, cross_entropy, batch_size=7, rate=0.1, check=check)


def weights_of(subject):
    return torch.cat([parameter.detach().flatten() for parameter in subject.network.parameters()])


@pytest.mark.parametrize("cuts", [[1], [2, 4], [6]])
def test_parts_of_unequal_size_move_the_weights_as_the_whole_batch_does(cuts):
    whole, parted = optimization(precision="float64"), optimization(precision="float64")
    before = weights_of(whole)
    expected, told = step(whole, []), step(parted, cuts)
    assert told.loss == pytest.approx(expected.loss, abs=1e-12)
    assert told.metrics["half"] == pytest.approx(expected.loss / 2, abs=1e-12)
    assert told.gradient_norm == pytest.approx(expected.gradient_norm, abs=1e-10)
    assert torch.allclose(weights_of(whole), weights_of(parted), atol=1e-12)
    assert not torch.allclose(weights_of(whole), before, atol=1e-3)


def test_what_is_checked_before_the_weights_move_can_stop_the_step():
    subject = optimization()
    before, told = weights_of(subject), []

    def check(what, value):
        told.append(what)
        if what == "gradient norm":
            raise ArithmeticError(value)

    with pytest.raises(ArithmeticError):
        step(subject, [], check)
    assert told == ["loss", "gradient norm"] and torch.equal(weights_of(subject), before)


def dtypes_seen(subject, action):
    seen = []
    hook = subject.network.backbone.layer1.register_forward_hook(
        lambda module, given, answer: seen.append(answer.dtype)
    )
    action()
    hook.remove()
    return seen


def test_in_mixed_precision_the_network_computes_in_bfloat16_and_answers_in_float32_but_never_under_attack():
    subject = optimization(precision="bfloat16")
    x_BCHW = subject.to_pixels(batch()[0])
    answers = []
    assert dtypes_seen(subject, lambda: answers.append(subject.model(x_BCHW))) == [torch.bfloat16]

    def attack():
        with under_attack(subject.model) as target:
            answers.append(target(x_BCHW))

    assert dtypes_seen(subject, attack) == [torch.float32]
    assert [answer.dtype for answer in answers] == [torch.float32] * 2
    told, full = step(subject, []), step(optimization(precision="float32"), [])
    assert told.loss == pytest.approx(full.loss, abs=0.05) and told.loss != full.loss


def test_another_memory_layout_changes_no_more_than_the_last_digits():
    last, contiguous = optimization(memory_format="channels-last"), optimization(memory_format="contiguous")
    assert last.network.backbone.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert step(last, []).loss == pytest.approx(step(contiguous, []).loss, abs=1e-5)


def test_a_compiled_network_trains_to_the_same_numbers_and_is_stored_under_the_same_names(monkeypatch):
    # Graphs are captured and differentiated; generating machine code for them takes over a minute and is PyTorch's.
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    torch.compiler.reset()
    compiled, plain = optimization(compile=True), optimization()
    assert step(compiled, []).loss == pytest.approx(step(plain, []).loss, abs=1e-4)
    assert torch.allclose(weights_of(compiled), weights_of(plain), atol=1e-3)
    assert compiled.network.backbone.state_dict().keys() == plain.network.backbone.state_dict().keys()
