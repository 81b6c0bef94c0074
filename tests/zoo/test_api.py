"""The public names, which users rely on."""

import inspect
import subprocess
import sys

import pytest
import torch

import zoo
import zoo.errors
import zoo.smoothing
from zoo.errors import CertificationError, RequestError, ZooError

ERRORS = {name: value for name, value in vars(zoo.errors).items() if getattr(value, "__module__", "") == "zoo.errors"}


def test_the_public_names_are_these():
    assert zoo.__all__ == ["CertifiedNetwork", "ZooError", "load", "preprocess", "smooth"]
    assert zoo.smoothing.__all__ == [
        "Anytime", "AtRadius", "BaseClassifier", "Certificate", "Certification", "CertificationEngine", "FixedSample",
        "Noise", "NoiseKey", "NoisySampler", "Prediction", "SamplingOptions", "SmoothedClassifier", "SmoothingSpec",
        "StoppingRule", "TorchBackend", "Votes",
    ]  # fmt: skip


def test_the_public_errors_are_these_and_all_are_zoo_errors():
    assert sorted(ERRORS) == [
        "BackendError", "CertificationError", "CheckpointError", "ClosingError", "DivergenceError",
        "ForeignCheckpointError", "HubError", "ImageError", "InterruptionError", "LogError", "OutOfMemoryError",
        "OverloadError", "RecipeError", "RefusedError", "RequestError", "ServerError", "ServerUnavailableError",
        "StreamInterruptedError", "TaskError", "UnknownNameError", "ZooError",
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
    with pytest.raises(RequestError, match="neither a directory here nor a Hub id"):
        zoo.smooth("nothing")


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'zoo' has no attribute 'lode'"):
        _ = zoo.lode
