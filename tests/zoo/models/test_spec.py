"""config.json: read back as written, and refused where it is not ours."""

import copy

import pytest

from zoo.errors import CheckpointError
from zoo.models.migration import migrate
from zoo.models.spec import CertifiedConfig, ModelSpec, Preprocessing, TimmNetwork

SPEC = ModelSpec(
    architecture="resnet50",
    num_classes=2,
    certified=CertifiedConfig(
        objective="consistency",
        hyper_parameters={"sigma": 0.5},
        sigma=0.5,
        task="pets",
        class_names=("cat", "dog"),
        seed=1,
        epochs=3,
        recipe_digest="0" * 64,
        preprocessing=Preprocessing(resize=256, crop=224),
    ),
)


def test_a_spec_is_read_back_as_it_was_written():
    assert ModelSpec.from_config(SPEC.to_config(TimmNetwork(name="resnet50")), source="config.json") == SPEC


def test_the_name_says_architecture_objective_sigma_and_task():
    assert SPEC.name == "resnet50.consistency_s50_pets"


@pytest.mark.parametrize(
    ("sigma", "level"), [(0.12, "_s12"), (0.125, "_s12.5"), (0.001, "_s0.1"), (1.0, "_s100"), (None, "")]
)
def test_different_sigmas_have_different_names(sigma, level):
    certified = SPEC.certified.model_copy(update={"sigma": sigma, "task": "imagefolder:S\u00fc\u00df, k\u00fchl"})
    assert SPEC.model_copy(update={"certified": certified}).name == f"resnet50.consistency{level}_imagefolder-S-k-hl"


def test_the_input_is_described_in_words():
    assert SPEC.preprocessing.describe() == "3x224x224 in [0, 1], after resize 256 and center crop 224"
    padded = Preprocessing(resize=224, crop=224, fit="pad").describe()
    assert padded == "3x224x224 in [0, 1], after resize of the longer side to 224 and pad to 224x224 with white"


def test_a_config_that_does_not_state_the_fit_means_a_crop():
    config = copy.deepcopy(SPEC.to_config(TimmNetwork(name="resnet50")))
    assert config["certified"]["preprocessing"].pop("fit") == "crop"
    assert ModelSpec.from_config(config, source="config.json") == SPEC


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda config: config.pop("certified"), "no 'certified' section"),
        (lambda config: config["certified"].update(schema_version=99), "schema_version 99.*upgrade with pip install"),
        (lambda config: config["certified"].update(schema_version=-3), "schema_version -3: expected a number"),
        (lambda config: config["certified"].pop("schema_version"), "schema_version None: expected a number"),
        (lambda config: config["certified"].update(schema_version=True), "schema_version True: expected a number"),
        (lambda config: config["certified"].update(sigma=-1), "certified.sigma"),
        (lambda config: config["certified"].update(sigma=float("nan")), "certified.sigma"),
        (lambda config: config["certified"].update(surprise=1), "certified.surprise"),
        (lambda config: config.update(num_classes=3), "2 class names for 3 classes"),
        (lambda config: config["certified"]["preprocessing"].update(crop=300), "larger than resize"),
        (lambda config: config["certified"]["preprocessing"].update(fit="pad"), "resize must be 224, got 256"),
        (lambda config: config["certified"]["preprocessing"].update(std=[0, 1, 1]), "std must be positive"),
    ],
)
def test_a_config_that_is_not_ours_or_holds_nonsense_is_refused(change, said):
    config = copy.deepcopy(SPEC.to_config(TimmNetwork(name="resnet50")))
    change(config)
    with pytest.raises(CheckpointError, match=said):
        ModelSpec.from_config(config, source="config.json")


@pytest.mark.parametrize("config", [None, [], "text", {}])
def test_what_is_no_config_at_all_is_refused(config):
    with pytest.raises(CheckpointError):
        ModelSpec.from_config(config, source="config.json")


def test_a_config_of_an_older_version_is_read_as_the_newest_writes_it(monkeypatch):
    def rename_level(section):  # an imagined version 1 called sigma so, and in units of 1/255
        section["noise_level"] = section.pop("level") / 255
        return section

    def name_sigma(section):
        section["sigma"] = section.pop("noise_level")
        return section

    config = copy.deepcopy(SPEC.to_config(TimmNetwork(name="resnet50")))
    config["certified"]["level"] = 255 * config["certified"].pop("sigma")
    before = copy.deepcopy(config)
    monkeypatch.setattr("zoo.models.spec.STEPS", (rename_level, name_sigma))
    spec = ModelSpec.from_config(config, source="config.json")
    assert spec.certified.model_copy(update={"schema_version": 1}) == SPEC.certified and config == before
    assert spec.certified.schema_version == 3


def test_only_the_steps_from_its_version_on_are_taken():
    def step(name):
        return lambda section: {**section, "steps": [*section["steps"], name]}

    steps = (step("1 to 2"), step("2 to 3"), step("3 to 4"))
    for version, taken in ((1, ["1 to 2", "2 to 3", "3 to 4"]), (3, ["3 to 4"]), (4, [])):
        migrated = migrate({"schema_version": version, "steps": []}, source="config.json", steps=steps)
        assert migrated == {"schema_version": 4, "steps": taken}


def test_an_older_config_that_its_own_version_would_not_write_is_refused():
    with pytest.raises(CheckpointError, match=r"does not match schema_version 1: KeyError\('level'\)"):
        migrate({"schema_version": 1}, source="config.json", steps=[lambda section: section.pop("level")])
