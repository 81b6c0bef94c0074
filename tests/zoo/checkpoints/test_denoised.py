"""A classifier behind a denoiser: the classifier's file is unchanged, and the identity covers both."""

import hashlib
import json
import shutil

import pytest
import timm
import torch

import zoo
from serving.protocol import Limits
from serving.server.archive import make_archive
from serving.server.model_store import require_weights
from tests.zoo.cards.test_card import CERTIFICATION, EMPIRICAL
from tests.zoo.checkpoints.test_checkpoint import MEAN, STD, saved
from tests.zoo.verification import forging
from zoo.cards import render_card
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.checkpoints.copying import install
from zoo.checkpoints.denoising import put_behind_denoiser
from zoo.checkpoints.writing import save_checkpoint
from zoo.errors import BackendError, CheckpointError, RequestError, ServerError
from zoo.export.cached_export import _key, specialized_export
from zoo.loading.backend import open_backend
from zoo.models.denoiser import Denoiser
from zoo.models.denoiser_config import DenoiserConfig, DenoiserShape
from zoo.models.measurements import CalibrationResult
from zoo.models.spec import CertifiedConfig
from zoo.verification import verify

SHAPE = DenoiserShape(depth=3, width=4)
X_BCHW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def denoiser_of(seed):
    torch.manual_seed(seed)
    denoiser = Denoiser(SHAPE)
    denoiser.train()(torch.randn(8, 3, 32, 32))  # batch-norm statistics that are not trivial
    return denoiser.eval()


def config_of(**fields):
    known = {"shape": SHAPE, "sigma": 0.25, "objective": "denoise", "task": "pictures", "input": "3x32x32", "seed": 0}
    return DenoiserConfig(**(known | fields))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("plain") / "classifier", "resnet10-quarter", sigma=None)[0]


@pytest.fixture(scope="module")
def denoised(classifier, tmp_path_factory):
    """Two checkpoints of the same classifier behind different denoisers, written with their networks."""
    folder, network = tmp_path_factory.mktemp("denoised"), classifier.load_network()
    spec = classifier.spec.behind(config_of())
    checkpoints = []
    for seed in (1, 2):
        network.denoiser = denoiser_of(seed)
        checkpoints.append(save_checkpoint(folder / str(seed), network, spec))
    return checkpoints


def test_the_classifiers_file_is_unchanged_and_the_network_is_the_classifier_of_the_denoised_pixels(
    classifier, denoised, tmp_path
):
    again = put_behind_denoiser(classifier, denoised[0], tmp_path / "again")
    assert (again.path / "model.safetensors").read_bytes() == (classifier.path / "model.safetensors").read_bytes()
    assert again.classifier_sha256 == denoised[0].classifier_sha256 == classifier.weights_sha256
    assert again.weights_sha256 == denoised[0].weights_sha256
    network, denoiser = zoo.load(again.path), denoiser_of(1)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    noisy_BCHW = X_BCHW + 0.25 * torch.randn(X_BCHW.shape)
    with torch.inference_mode():
        expected_BK = classifier.load_network().backbone((denoiser(noisy_BCHW) - mean) / std)
        assert torch.allclose(network(noisy_BCHW), expected_BK, atol=1e-6)
        assert not torch.allclose(network(noisy_BCHW), classifier.load_network()(noisy_BCHW), atol=1e-3)
        theirs = timm.create_model(f"local-dir:{again.path}", pretrained=True).eval()
        assert torch.allclose(theirs((X_BCHW - mean) / std), classifier.load_network()(X_BCHW), atol=1e-5)
    assert zoo.smooth(again.path, backend="torch").smoothing.sigma == 0.25
    assert json.loads((again.path / "split.json").read_text())["train"] == [0, 1]


def test_other_denoisers_are_other_networks_wherever_a_network_is_identified(classifier, denoised, tmp_path):
    identities = [checkpoint.weights_sha256 for checkpoint in (classifier, *denoised)]
    assert len(set(identities)) == 3
    assert len({_key(checkpoint) for checkpoint in (classifier, *denoised)}) == 3
    files = [
        hashlib.sha256((denoised[0].path / name).read_bytes()).hexdigest()
        for name in ("denoiser.safetensors", "model.safetensors")
    ]
    lines = f"{files[0]}  denoiser.safetensors\n{files[1]}  model.safetensors\n"
    assert identities[1] == hashlib.sha256(lines.encode()).hexdigest()
    archive = make_archive(denoised[0], tmp_path, limits=Limits(n=500), device="cpu", backend="torch")
    with pytest.raises(ServerError, match="holds other weights"):
        require_weights(archive, identities[2])
    with pytest.raises(ServerError, match="holds other weights"):
        require_weights(archive, identities[0])


def test_onnx_runtime_computes_both_and_refuses_the_export_of_another_denoiser(classifier, denoised):
    exported = specialized_export(denoised[0])
    backend = open_backend(denoised[0], backend="onnx", exported=exported)
    with torch.inference_mode():
        expected_BK = denoised[0].load_network()(X_BCHW).numpy()
    assert abs(backend.logits(X_BCHW) - expected_BK).max() < 1e-4
    for other in (denoised[1], classifier):
        with pytest.raises(BackendError, match="was not made from the weights of"):
            open_backend(other, backend="onnx", exported=exported)


def test_verify_passes_and_finds_an_exchanged_denoiser(denoised, tmp_path):
    checks = {check.name: check.outcome for check in verify(denoised[0].path).checks}
    assert "failed" not in checks.values() and checks["weights"] == "passed"
    exchanged = install(denoised[0], tmp_path / "exchanged").path
    shutil.copyfile(denoised[1].path / "denoiser.safetensors", exchanged / "denoiser.safetensors")
    assert any(
        "denoiser.safetensors: SHA-256 is" in finding
        for check in verify(exchanged).checks
        for finding in check.findings
    )
    with pytest.raises(CheckpointError, match=r"denoiser.safetensors is damaged"):
        open_checkpoint(exchanged)


def test_a_denoiser_that_only_the_manifest_or_only_the_config_names_is_refused(denoised, classifier, tmp_path):
    """Otherwise the identity would cover a denoiser that the network does not use."""
    copied = install(denoised[0], tmp_path / "copied").path
    config = json.loads((copied / "config.json").read_text())
    del config["certified"]["denoiser"]
    (copied / "config.json").write_text(json.dumps(config))
    forging.recompute_manifest(copied)
    with pytest.raises(CheckpointError, match=r"manifest.json names a denoiser, config.json does not"):
        open_checkpoint(copied)
    assert any("names a denoiser" in finding for check in verify(copied).checks for finding in check.findings)
    spec = classifier.spec.behind(config_of())
    with pytest.raises(CheckpointError, match=r"config.json names a denoiser, manifest.json does not"):
        Checkpoint(path=classifier.path, spec=spec, files=classifier.files).load_network()


@pytest.mark.parametrize(
    ("model", "donor", "said"),
    [(0, 0, "has no denoiser"), (1, 1, "is behind a denoiser already"), (0, 1, None)],
)
def test_the_command_puts_a_classifier_behind_a_denoiser(
    model, donor, said, classifier, denoised, zoo_command, tmp_path
):
    paths = [classifier.path, denoised[0].path]
    done = zoo_command("denoise", paths[model], "--with", paths[donor], "--output", tmp_path / "m", "--json")
    if said is not None:
        assert (done.code, said in done.err) == (2, True)
        return
    told = json.loads(done.out)
    assert told["classifier_sha256"] == classifier.weights_sha256 and told["sigma"] == 0.25
    assert open_checkpoint(tmp_path / "m").weights_sha256 == told["sha256"] == denoised[0].weights_sha256


def test_a_classifier_whose_input_does_not_fit_is_refused(classifier):
    with pytest.raises(RequestError, match="not a multiple of the denoiser's downsampling, 5"):
        classifier.spec.behind(config_of(shape=DenoiserShape(downsampling=5)))


def test_no_result_of_the_classifier_alone_is_kept(classifier):
    results = {name for name, field in CertifiedConfig.model_fields.items() if "Result" in str(field.annotation)}
    assert results == {"empirical", "certification", "calibration"}
    measured = classifier.spec.certified.model_copy(
        update={
            "empirical": EMPIRICAL,
            "certification": CERTIFICATION,
            "calibration": CalibrationResult.model_construct(),
        }
    )
    denoised = classifier.spec.model_copy(update={"certified": measured}).behind(config_of())
    assert {name: getattr(denoised.certified, name) for name in results} == dict.fromkeys(results)


def test_verify_names_a_missing_file_of_weights(denoised, tmp_path):
    for name in ("model.safetensors", "denoiser.safetensors"):
        copied = install(denoised[0], tmp_path / name).path
        (copied / name).unlink()
        findings = [finding for check in verify(copied).checks for finding in check.findings]
        assert f"{name} is missing" in findings


def test_the_card_names_the_denoiser_and_what_timm_loads(denoised):
    card = " ".join(render_card(denoised[0].spec, files=denoised[0].files).split())
    for words in (
        "trained with `gaussian` behind a denoiser for Gaussian noise of sigma 0.25",
        "| denoiser | DnCNN of 3 convolutions with 4 channels, on blocks of 2x2 pixels, that estimates the image; "
        "trained with denoise for sigma 0.25 on `pictures`",
        "timm loads the classifier without its denoiser",
        "| `denoiser.safetensors` | the denoiser before the classifier",
    ):
        assert words in card, words


def test_a_network_with_a_changed_denoiser_is_not_published_as_the_old_one(denoised, tmp_path):
    network = zoo.load(denoised[0].path)
    assert network.is_unchanged()
    with torch.no_grad():
        network.denoiser.image[0].bias[0] += 1
    assert not network.is_unchanged()
    other = network.save_pretrained(tmp_path / "other")
    assert other.classifier_sha256 == denoised[0].classifier_sha256
    assert other.weights_sha256 != denoised[0].weights_sha256
    assert other.spec.certified.denoiser.objective == "unknown" and other.spec.certified.sigma == 0.25
    network.denoiser = None
    assert not network.is_unchanged()
    with pytest.raises(RequestError, match="a denoiser was added to the network or removed"):
        network.save_pretrained(tmp_path / "without")
