"""A leaderboard's document says what was measured and how, what was not is null, and nothing else passes."""

import json
from pathlib import Path

import pytest

from tests.zoo.cards.test_card import CERTIFICATION, EMPIRICAL, WITH_DISTRIBUTION
from tests.zoo.models.test_spec import SPEC
from zoo.cards.leaderboard import leaderboard_entry
from zoo.cards.leaderboard_schema import LeaderboardEntry, read_entry, write_entry
from zoo.errors import CheckpointError, RequestError
from zoo.models.catalog import CATALOG
from zoo.models.measurements import Attack, SharedAlpha, SmoothedTarget
from zoo.models.spec import Origin
from zoo.results.summary import binomial_interval

SCHEMA = Path(__file__).parents[3] / "schemas" / "leaderboard.schema.json"
WEIGHTS, ROWS = "ab" * 32, "cd" * 32
PGD = Attack(
    name="pgd", version="1", norm="l2", epsilon=0.5, num_steps=20, step_size=0.0625, start="the image", seed=3,
)  # fmt: skip
ATTACKED = EMPIRICAL.model_copy(
    update={"attack": PGD, "robust_accuracy": 0.6, "robust_accuracy_interval": (0.5, 0.7), "skip": 2}
)
TARGET = SmoothedTarget(sigma=0.5, num_noise_samples=16, n=1000, alpha=0.001)
SMOOTHED = ATTACKED.model_copy(
    update={"classifier": "smoothed", "attack": PGD.model_copy(update={"smoothed": TARGET}), "noise": ()}
)


def entry(*, rows=True, **results):
    files = {"model.safetensors": WEIGHTS} | ({"certification.tsv": ROWS} if rows else {})
    spec = SPEC.model_copy(update={"certified": SPEC.certified.model_copy(update=results)})
    return leaderboard_entry(spec, files=files, source="here")


def written(**results):
    return json.loads(write_entry(entry(**results)))


def test_the_schema_in_the_repository_is_that_of_the_model():
    assert json.loads(SCHEMA.read_text()) == LeaderboardEntry.model_json_schema()


def test_an_entry_is_read_back_as_it_was_written():
    whole = entry(certification=CERTIFICATION, empirical=ATTACKED.model_copy(update={"smoothed": SMOOTHED}))
    assert read_entry(write_entry(whole), source="here") == whole


def test_what_was_not_measured_is_null():
    told = written(rows=False)
    assert told["measured"] == {"certified": None, "empirical_base": None, "empirical_smoothed": None}
    assert told["source"] is told["reported"] is told["licence"] is None
    assert (told["name"], told["weights_sha256"]) == ("resnet50.consistency_s50_pets", WEIGHTS)


def test_certified_numbers_stand_with_their_threat_model_draws_images_interval_and_abstentions():
    told = written(certification=CERTIFICATION)["measured"]["certified"]
    assert (told["norm"], told["sigma"], told["n0"], told["n"], told["alpha"]) == ("l2", 0.5, 100, 1000, 0.001)
    assert told["images"] == {
        "task": "pets",
        "split": "test",
        "skip": 3,
        "maximum": None,
        "sample": None,
        "num_images": 120,
    }
    assert told["certified_accuracy"] == [{"radius": 0.5, "accuracy": {"value": 0.8, "low": 0.7, "high": 0.9}}]
    assert told["average_certified_radius"] == {"value": 1.25, "low": 1.1, "high": 1.4}
    low, high = binomial_interval(6, 120)
    assert told["abstention_rate"] == {"value": 0.05, "low": pytest.approx(low), "high": pytest.approx(high)}
    assert (told["rows_sha256"], told["tolerance"], told["radius_asked"]) == (ROWS, None, None)
    assert (told["bound"], told["p_a_of_label"]) == ("clopper-pearson", None), "a card of an earlier version names none"


def test_the_bound_and_the_distribution_of_p_a_stand_beside_the_average_radius():
    told = written(certification=WITH_DISTRIBUTION)["measured"]["certified"]
    assert told["bound"] == "simultaneous"
    assert told["p_a_of_label"] == WITH_DISTRIBUTION.p_a_of_label.model_dump(mode="json")


def test_certificates_that_share_one_alpha_say_so_and_others_have_no_family():
    assert written(certification=CERTIFICATION)["measured"]["certified"]["family"] is None
    shared = CERTIFICATION.model_copy(update={"alpha": 1e-5, "family": SharedAlpha(alpha=0.01, size=1000)})
    told = written(certification=shared)["measured"]["certified"]
    assert (told["alpha"], told["family"]) == (1e-5, {"alpha": 0.01, "size": 1000})


def test_empirical_numbers_stand_apart_with_their_attack():
    told = written(empirical=ATTACKED.model_copy(update={"smoothed": SMOOTHED}))["measured"]
    assert told["certified"] is None
    base, smoothed = told["empirical_base"], told["empirical_smoothed"]
    assert base["robust_accuracy"] == {"value": 0.6, "low": 0.5, "high": 0.7} and base["images"]["skip"] == 2
    assert base["attack"] == {
        "name": "pgd", "version": "1", "norm": "l2", "epsilon": 0.5, "num_steps": 20, "step_size": 0.0625,
        "start": "the image", "loss": None, "num_restarts": 1, "seed": 3, "sigma": None, "num_noise_samples": None,
        "n": None, "alpha": None, "notes": [],
    }  # fmt: skip
    assert (smoothed["attack"]["sigma"], smoothed["attack"]["num_noise_samples"]) == (0.5, 16)
    assert base["noise"] == [{"sigma": 0.5, "accuracy": {"value": 0.91, "low": None, "high": None}}]


def test_what_authors_report_stands_apart_from_what_was_measured():
    id = "resnet50.simclr_800ep_imagenet"
    told = written(origin=Origin(file="m.torch", sha256="0" * 64, format="vissl", licence="MIT", catalog_id=id))
    assert told["reported"] == {
        "standard_accuracy": CATALOG[id].accuracy, "of": "a linear classifier on the network's features",
        "task": "imagenet", "source": CATALOG[id].source,
    }  # fmt: skip
    assert told["measured"]["empirical_base"] is None and told["licence"] == "MIT"
    assert told["source"] == {"file": "m.torch", "sha256": "0" * 64, "url": None, "catalog_id": id}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["measured", "certified", "alpha"], 1.5, "measured.certified.alpha"),
        (["measured", "certified", "abstention_rate"], None, "measured.certified.abstention_rate"),
        (["measured", "certified", "standard_accuracy", "value"], 0.2, "is not in its interval"),
        (["measured", "certified", "standard_accuracy", "low"], None, "low and high must both be numbers"),
        (["measured", "empirical_base", "attack"], None, "attack and robust_accuracy must both be given"),
        (["measured", "empirical_base", "robust_accuracy"], None, "attack and robust_accuracy must both be given"),
        (["weights_sha256"], "abc", "weights_sha256"),
        (["schema_version"], 2, "schema_version"),
        (["stars"], 5, "stars: Extra inputs are not permitted"),
    ],
)
def test_a_document_that_cannot_be_is_refused_naming_the_field(path, value, said):
    document = written(certification=CERTIFICATION, empirical=ATTACKED)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(RequestError, match="here is not a leaderboard entry") as error:
        read_entry(json.dumps(document), source="here")
    assert said in str(error.value)


@pytest.mark.parametrize("path", [["reported"], ["measured", "certified", "abstention_rate"], ["licence"]])
def test_what_is_not_known_is_said_to_be_null_and_may_not_be_left_out(path):
    document = written(certification=CERTIFICATION)
    place = document
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    with pytest.raises(RequestError, match="Field required"):
        read_entry(json.dumps(document), source="here")


def test_an_impossible_number_is_not_written():
    with pytest.raises(CheckpointError, match=r"here makes an impossible claim: .* not in its interval"):
        entry(certification=CERTIFICATION.model_copy(update={"average_certified_radius": 9.0}))


def test_show_prints_the_entry_and_nothing_else(zoo_command, digits_checkpoint):
    done = zoo_command("show", digits_checkpoint.path, "--leaderboard")
    told = read_entry(done.out, source="stdout")
    assert (done.code, done.err) == (0, "") and told == leaderboard_entry(
        digits_checkpoint.spec, files=digits_checkpoint.files, source=""
    )
    assert (told.training.objective, told.training.sigma) == ("consistency", 0.5)
