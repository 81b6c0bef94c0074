"""The public names, which users rely on."""

import inspect
import subprocess
import sys

import pytest
import torch
from PIL import Image

import zoo
import zoo.errors
import zoo.smoothing
from serving.protocol import Limits
from zoo.errors import CertificationError, ImageError, RequestError, ZooError
from zoo.smoothing import AtRadius, FixedSample, SmoothingSpec

ERRORS = {
    name: value
    for name, value in vars(zoo.errors).items()
    if inspect.isclass(value) and value.__module__ == "zoo.errors"
}


def test_the_public_names_are_these():
    assert zoo.__all__ == ["CertifiedNetwork", "ZooError", "classifier", "load", "preprocess", "smooth"]
    assert zoo.smoothing.__all__ == [
        "Anytime", "AtRadius", "BaseClassifier", "Certificate", "Certification", "CertificationEngine", "Family",
        "FamilyMember", "FixedSample", "LabelSet", "LabelSetJob", "LabelSetSpec", "Noise", "NoiseKey", "NoisySampler",
        "Prediction", "SamplingOptions",
        "SmoothedClassifier", "SmoothingSpec", "StoppingRule", "TorchBackend", "Votes",
    ]  # fmt: skip


def test_the_public_errors_are_these_and_all_are_zoo_errors():
    assert sorted(ERRORS) == [
        "BackendError", "CertificationError", "CheckpointError", "ClosingError", "DivergenceError", "ExportError",
        "ForeignCheckpointError", "HubError", "ImageError", "InterruptionError", "LogError", "OutOfMemoryError",
        "OverloadError", "RecipeError", "RefusedError", "RequestError", "ServerError", "ServerUnavailableError",
        "StreamInterruptedError", "TaskError", "UnknownNameError", "WorkerLostError", "ZooError",
    ]  # fmt: skip
    assert all(issubclass(error, ZooError) for error in ERRORS.values())


@pytest.mark.parametrize(
    ("module", "names"),
    [(zoo, zoo.__all__), (zoo.smoothing, zoo.smoothing.__all__), (zoo.errors, ERRORS)],
    ids=["zoo", "zoo.smoothing", "zoo.errors"],
)
def test_every_public_name_is_there_and_says_what_it_is(module, names):
    for name in names:
        value = getattr(module, name)
        assert value.__doc__ or not (inspect.isclass(value) or inspect.isfunction(value)), name


def test_the_network_has_the_methods_of_the_hubs_mixin():
    methods = {
        name: getattr(zoo.CertifiedNetwork, name) for name in ("from_pretrained", "save_pretrained", "push_to_hub")
    }
    parameters = {name: list(inspect.signature(method).parameters) for name, method in methods.items()}
    assert parameters["from_pretrained"][0] == "model" and "revision" in parameters["from_pretrained"]
    assert {"private", "commit_message"} <= set(parameters["push_to_hub"])
    assert all(inspect.getdoc(method) for method in methods.values())


def test_importing_zoo_imports_no_torch():
    code = "import sys, zoo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_from_a_picture_file_to_a_certificate_in_five_lines(digits_checkpoint, tmp_path):
    from training.tasks import open_task

    open_task("digits", data_dir=tmp_path).test[3].save(tmp_path / "digit.png")
    model = str(digits_checkpoint.path)
    network = zoo.load(model)
    g = zoo.smooth(model, n=1000)
    x_CHW = zoo.preprocess(tmp_path / "digit.png", network)
    certificate = g.certify(x_CHW, generator=torch.Generator().manual_seed(0))
    assert (certificate.label, certificate.sigma, certificate.n) == (4, 0.5, 1000) and certificate.radius > 0.5
    assert int(network(x_CHW[None]).argmax()) == 4


def test_a_smoothed_classifier_wants_a_sigma_and_draws_that_can_certify(digits_checkpoint):
    with pytest.raises(CertificationError):
        zoo.smooth(digits_checkpoint.path, n=5)
    with pytest.raises(CertificationError, match="give either stopping or bound"):
        zoo.smooth(digits_checkpoint.path, stopping=AtRadius(0.5), bound="simultaneous")
    rule = zoo.smooth(digits_checkpoint.path, n=500, bound="simultaneous").smoothing.stopping
    assert rule == FixedSample(500, bound="simultaneous")
    with pytest.raises(RequestError, match="neither a directory nor a Hub id"):
        zoo.smooth("nothing")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Three pictures of test digits: 0, 4 and a 32x32 gray square."""
    from training.tasks import open_task

    test = open_task("digits", data_dir=tmp_path_factory.mktemp("digits-data")).test
    return [test[0], test[3], Image.new("L", (32, 32), 128)]


def test_a_smoothed_classifier_takes_pictures_and_names_their_classes(digits_checkpoint, digits, tmp_path):
    digits[1].save(tmp_path / "digit.png")
    g = zoo.smooth(digits_checkpoint.path, n=500)
    assert (g.certify(tmp_path / "digit.png").class_name, g.predict(digits[1]).class_name) == ("4", "4")
    tensors = [zoo.preprocess(picture, zoo.load(digits_checkpoint.path)) for picture in digits]
    seeded = [torch.Generator().manual_seed(3) for _ in range(3)]
    expected = [g.certify(x_CHW, generator=seeded[0]) for x_CHW in tensors]
    assert g.certify(digits, generator=seeded[1]) == expected == g.certify(torch.stack(tensors), generator=seeded[2])


def test_a_classifier_answers_a_picture_a_list_or_a_generator_of_any_kind_of_picture(
    digits_checkpoint, digits, tmp_path
):
    digits[1].save(tmp_path / "digit.png")
    x_CHW = zoo.preprocess(digits[1], digits_checkpoint.path)
    classify = zoo.classifier(digits_checkpoint.path, n=200)
    kinds = (str(tmp_path / "digit.png"), tmp_path / "digit.png", digits[1], x_CHW)
    for answers in ([classify(kind) for kind in kinds], classify(list(kinds)), classify(torch.stack([x_CHW] * 4))):
        assert [(answer.class_name, answer.n, answer.abstained) for answer in answers] == [("4", 200, False)] * 4
        assert all(answer.radius > 0.3 for answer in answers)
    lazy = classify(picture for picture in (digits[1], tmp_path / "missing.png"))
    assert next(lazy).class_name == "4"
    with pytest.raises(ImageError, match=r"missing\.png"):
        next(lazy)
    with pytest.raises(CertificationError, match="an image must be a tensor, a PIL picture or the path"):
        classify(5)


def test_a_classifier_draws_as_many_copies_as_a_server_unless_a_rule_says_otherwise(digits_checkpoint):
    rules = ({}, {"n": 300}, {"stopping": AtRadius(0.25)})
    found = [zoo.classifier(digits_checkpoint.path, device="cpu", **rule).smoothed.smoothing for rule in rules]
    assert [spec.n for spec in found] == [Limits().n, 300, AtRadius(0.25).max_n]


def test_the_runtime_is_chosen_and_stands_in_the_certificate(digits_checkpoint, digits):
    ask = {"n": 100, "device": torch.device("cpu")}
    names = [
        zoo.smooth(digits_checkpoint.path, backend=backend, **ask).certify(digits[0]).backend
        for backend in ("auto", "onnx", "torch")
    ]
    assert names == ["onnxruntime-cpu-float32", "onnxruntime-cpu-float32", "torch-cpu-float32"]
    with pytest.raises(RequestError, match="got 'tpu'"):
        zoo.smooth(digits_checkpoint.path, device="tpu")
    with pytest.raises(RequestError, match="got 'jax'"):
        zoo.smooth(digits_checkpoint.path, backend="jax")


def test_the_draws_are_those_of_the_rule(digits_checkpoint):
    def smoothing(**asked):
        return zoo.smooth(digits_checkpoint.path, backend="torch", device="cpu", **asked).smoothing

    assert smoothing().n == 100_000
    assert smoothing(stopping=AtRadius(0.25, max_n=700), noise="discrete") == SmoothingSpec(
        sigma=0.5, stopping=AtRadius(0.25, max_n=700), noise="discrete"
    )
    with pytest.raises(CertificationError, match="give only one of them"):
        smoothing(n=100, stopping=AtRadius(0.25))
    with pytest.raises(CertificationError, match="must be a stopping rule, such as"):
        smoothing(stopping="anytime")


def test_a_loaded_network_is_smoothed_as_its_checkpoint_unless_it_was_changed(digits_checkpoint, digits):
    network = zoo.load(digits_checkpoint.path)
    assert network.class_names == tuple("0123456789")
    seeded = [torch.Generator().manual_seed(0) for _ in range(2)]
    by_name, by_network = (zoo.smooth(model, n=200, device="cpu") for model in (digits_checkpoint.path, network))
    assert by_name.certify(digits[0], generator=seeded[0]) == by_network.certify(digits[0], generator=seeded[1])
    with pytest.raises(RequestError, match="revision='v1' applies to the name of a MODEL"):
        zoo.smooth(network, revision="v1")
    with torch.no_grad():
        next(network.backbone.parameters())[0] += 1
    with pytest.raises(RequestError, match=r"weights differ from those of .* save_pretrained"):
        zoo.smooth(network)


def test_a_tensor_that_was_not_resized_is_refused(digits_checkpoint):
    with pytest.raises(CertificationError, match=r"the image must have shape \(3, 32, 32\), got \(3, 8, 8\)"):
        zoo.smooth(digits_checkpoint.path, n=100).predict(torch.zeros(3, 8, 8))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'zoo' has no attribute 'lode'"):
        _ = zoo.lode
