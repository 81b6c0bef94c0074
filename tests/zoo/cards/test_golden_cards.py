"""Two whole cards, as they are read; and their metadata, as the Hub and its client take them."""

import copy
import re

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from tests.hub_card_rules import errors_in
from tests.zoo.cards.golden_cards import CARDS, FOLDER, IMPORTED, TRAINED
from zoo.cards import card_metadata, render_card

SECTIONS = (
    "Intended use and out of scope", "How it was made", "Training data and licence", "Threat model",
    "What a certificate covers", "Certified accuracy (measured here)",
    "Accuracy of the base classifier (measured here)",
    "Robustness against attacks (measured here)", "Limits", "Use", "Reproduce", "Files", "Citation",
)  # fmt: skip


@pytest.mark.parametrize("name", CARDS)
def test_the_whole_card_is_the_one_that_was_looked_at(name):
    """Where a change is meant: python -m tests.zoo.cards.golden_cards, and read the difference."""
    spec, files = CARDS[name]
    assert render_card(spec, files=files) == (FOLDER / name).read_text()


@pytest.mark.parametrize("name", CARDS)
def test_a_card_has_every_section_once_and_no_hole_in_it(name):
    card = (FOLDER / name).read_text()
    expected = [*SECTIONS[:8], *(["Reported by its authors (not measured here)"] if name == "imported.md" else [])]
    assert re.findall(r"^## (.*)$", card, re.MULTILINE) == [*expected, *SECTIONS[8:]]
    body = card.split("\n---\n", 1)[1]
    assert "None" not in body.replace("or None if it abstains", "") and "{" not in body and "\n\n\n" not in body


@pytest.mark.parametrize("name", CARDS)
def test_metadata_survive_the_clients_classes_and_pass_the_hubs_rules(name):
    text = (FOLDER / name).read_text()
    card = ModelCard(text)
    assert card.data.to_dict() == yaml.safe_load(text.split("---\n")[1])
    assert errors_in(card.content) == [] and card.data.library_name == "certified-zoo"


def test_every_measured_number_is_an_evaluation_result_of_the_clients_own_kind():
    card = ModelCard((FOLDER / "trained.md").read_text())
    results = card.data.eval_results
    assert [(one.metric_type, one.metric_value) for one in results] == [
        ("certified_accuracy", 90.0), ("certified_accuracy", 80.0), ("certified_accuracy", 40.0),
        ("average_certified_radius", 1.25), ("abstention_rate", 5.0), ("accuracy", 95.0), ("robust_accuracy", 50.0),
        ("robust_accuracy", 70.0),
    ]  # fmt: skip
    assert {(one.dataset_type, one.dataset_split, one.task_type) for one in results} == {
        ("pets", "test", "image-classification")
    }
    assert (results[1].metric_args["sigma"], results[1].metric_args["radius"], results[1].metric_args["n"]) == (
        0.5,
        0.5,
        1000,
    )
    ours = card_metadata(TRAINED, files={})["model-index"]
    again = eval_results_to_model_index(*model_index_to_eval_results(copy.deepcopy(ours)))
    assert again == ours


def test_what_others_report_is_no_evaluation_result_and_stands_under_its_source():
    metadata = card_metadata(IMPORTED, files={})
    assert "model-index" not in metadata and "metrics" not in metadata
    card = (FOLDER / "imported.md").read_text()
    reported = card[card.index("## Reported by") : card.index("## Limits")]
    assert "| `certified accuracy at l2 radius 0.5` | 49.0 `%` | `imagenet` | `sigma 0.5, n 100,000" in reported
    assert "`Somebody et al. 2020, table 2`, <https://example.org/paper>" in reported
    assert "0.733" in reported and "`its README \\| 'as is'`" in reported and "not stated" in reported
    measured = card[: card.index("## Reported by")] + card[card.index("## Limits") :]
    assert "49.0" not in measured and "0.733" not in measured and measured.count("Not measured.") == 2


def test_a_starting_point_on_the_hub_is_the_base_model_and_another_is_none():
    metadata = card_metadata(TRAINED, files={})
    assert (metadata["base_model"], metadata["base_model_relation"]) == ("alice/pretrained", "finetune")
    for parent_id, base in (
        ("resnet50.l2_eps3_imagenet", "madrylab/robust-imagenet-models"),
        ("resnet50.tv_v1_imagenet", None),
        (None, None),
    ):
        certified = TRAINED.certified.model_copy(update={"parent_id": parent_id})
        other = card_metadata(TRAINED.model_copy(update={"certified": certified}), files={})
        assert other.get("base_model") == base and ("base_model_relation" in other) == (base is not None)


def test_licences_are_the_hubs_identifiers_or_other_or_unknown():
    assert card_metadata(TRAINED, files={})["license"] == "apache-2.0"
    stated = card_metadata(IMPORTED, files={})
    assert (stated["license"], stated["license_link"]) == ("other", "https://example.org/best.pth.tar")
    assert card_metadata(IMPORTED.with_licence("MIT"), files={})["license"] == "mit"
    unstated = TRAINED.certified.model_copy(update={"licence": None})
    assert card_metadata(TRAINED.model_copy(update={"certified": unstated}), files={})["license"] == "unknown"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"license": "my own"}, "license"),
        ({"license": "other"}, "license_name"),
        ({"tags": "smoothing"}, "tags"),
        ({"datasets": ["not an id!"]}, "datasets"),
        ({"base_model": "nobody"}, "base_model"),
        ({"base_model_relation": "child"}, "base_model_relation"),
        ({"model-index": [{"name": "m", "results": [{"task": {"type": "t"}, "metrics": [{"type": "a"}]}]}]}, "dataset"),
        ({"model-index": [{"results": []}]}, "name"),
    ],
    ids=str,
)
def test_the_rules_refuse_what_the_hub_is_said_to_refuse(change, said):
    header = yaml.safe_dump({**yaml.safe_load((FOLDER / "trained.md").read_text().split("---\n")[1]), **change})
    assert any(said in error for error in errors_in(f"---\n{header}---\nText\n"))
