"""The pictures study: samples, denoisers and means per class; its claims name runs that it has; its documents."""

import csv
from pathlib import Path

import pytest

from tests.training.study.fabricated import evidence, result
from training.study.built_in import find_study
from training.study.collect import collect
from training.study.evidence import Evidence
from training.study.folder import StudyFolder
from training.study.pictures.claims import CLAIM_SET
from training.study.pictures.readings import base_classifier, smoothed_classifier
from training.study.plan import plan_runs
from training.study.study_file import Study, read_study
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.models.measurements import ClassCounts

ROOT = Path(__file__).parents[3]
CERTIFIED = {
    ("consistency", "random"): 20, ("consistency", "imagenet"): 50, ("consistency", "simclr"): 21,
    ("consistency", "standard"): 47, ("consistency", "consistency"): 52, ("noisy-head", "imagenet"): 46,
    ("adversarial", "imagenet"): 30, ("head", "consistency"): 10, ("standard", "consistency"): 18,
    ("denoise", "classifier"): 60, ("standard", "classifier"): 20,
}  # fmt: skip


@pytest.fixture(scope="module")
def pictures() -> Study:
    return read_study(find_study("pictures"))


@pytest.fixture(scope="module")
def found(pictures) -> Evidence:
    """All runs with invented numbers: certified accuracy by method and start, and one point more for each seed."""

    def numbers(run):
        return {"robust_accuracy": 30 if run.starting_point == "imagenet" else 10, "standard_accuracy": 60}

    return Evidence(
        [(run, with_classes(run, done)) for run, done in evidence(pictures, numbers).finished], unfinished=[]
    )


def with_classes(run, done):
    """The result with 100 images of each of two classes; five images more of each are right than certified."""
    share = CERTIFIED.get((run.method, run.starting_point), 40) + run.seed
    counts = tuple(ClassCounts(label=label, num_images=100, num_certified=(share + 5, share)) for label in (0, 1))
    measured = [certification.model_copy(update={"classes": counts}) for certification in done.certifications]
    means = {
        "mean_per_class_accuracy": done.empirical.standard_accuracy,
        "mean_per_class_robust_accuracy": done.empirical.robust_accuracy,
    }
    return done.model_copy(
        update={"certifications": tuple(measured), "empirical": done.empirical.model_copy(update=means)}
    )


def test_every_claim_that_has_a_rule_is_decided_by_runs_of_the_study(found):
    for name, claim in CLAIM_SET.claims.items():
        _, estimate = claim.decide(found)
        assert (claim.rule is None) == (estimate is None), name
    answers = {claim.statement: claim.decide(found)[0] for claim in CLAIM_SET.claims.values()}
    assert [answers[statement] for statement in answers if "ACR of the smoothed" in statement] == ["undecided"]
    assert [answers[statement] for statement in answers if "at least 10 points" in statement] == ["yes"]
    assert [answers[statement] for statement in answers if "at least half of it" in statement] == ["yes"]
    assert [answers[statement] for statement in answers if "empirical is not certified" in statement] == ["no"]
    assert {row[-1] for row in CLAIM_SET.answers(Evidence([], [])).rows} == {"undecided", "not testable"}


def test_a_difference_pairs_targets_and_seeds(found):
    statement = "With few labels, certified accuracy of the smoothed classifier is higher from a pre-trained start."
    claim = next(claim for claim in CLAIM_SET.claims.values() if claim.statement == statement)
    answer, estimate = claim.decide(found)
    assert (answer, estimate.value, estimate.interval) == ("yes", 30, (30, 30))
    only = Evidence([pair for pair in found.finished if pair[0].target == "tuxpaint-10"], [])
    assert claim.decide(only)[0] == "undecided" and claim.decide(only)[1].interval is None


def test_the_documents_state_every_measure_by_network(pictures, found):
    documents = collect(pictures, found)
    names = [name for name in documents.contents if not name.startswith("results/")]
    assert names == ["base_classifiers.csv", "smoothed_classifiers.csv", "networks.png", "tables.md", "report.html"]
    rows = list(csv.DictReader(documents.contents["smoothed_classifiers.csv"].decode().splitlines()))
    row = next(row for row in rows if list(row.values())[:3] == ["tuxpaint-20", "consistency", "imagenet"])
    assert (row["mean_per_class_certified_accuracy"], row["mean_per_class_accuracy"]) == ("51", "56")
    assert (row["num_seeds"], row["certified_accuracy"]) == ("3", "25")
    assert float(row["mean_per_class_certified_accuracy_images_low"]) < 51
    text = documents.contents["tables.md"].decode()
    assert "certified accuracy at radius 0.25" in text and "| tuxpaint-20 | 200 | 100, 100 | 50.0 | 50.0 |" in text
    assert documents.contents["networks.png"].startswith(b"\x89PNG")
    only = Evidence([pair for pair in found.finished if pair[0].id == "pretraining.simclr.s0"], [])
    assert "networks.png" not in collect(pictures, only).contents


def test_the_page_of_the_rules_is_what_the_claims_say():
    assert (ROOT / "docs/study/pictures/claims.md").read_text() == f"{CLAIM_SET.document}\n"


def test_a_run_without_counts_of_classes_has_no_reading_of_a_smoothed_classifier(pictures):
    run = next(run for run in plan_runs(pictures) if run.measure.certify)
    assert smoothed_classifier(result(run, {})) == {} and set(base_classifier(result(run, {}))) == {"standard_accuracy"}


def test_a_classifier_from_a_checkpoint_is_measured_on_a_sample_and_then_behind_a_denoiser(finished, start, tmp_path):
    folder, _ = finished
    point = folder.checkpoint_path("pretraining.standard.s0")
    study = Study.model_validate(
        {
            "name": "denoised",
            "report": "pictures",
            "architecture": "resnet10-quarter",
            "seeds": (1,),
            "assignments": ("limit_per_class=4", "validation_share=0", "memory_format=channels-last"),
            "tasks": {"even": {"task": "digits#0,2,4", "evaluated": {"sample": 6}, "certified": {"sample": 5}}},
            "methods": {
                "standard": {
                    "objective": "standard",
                    "recipe": "few-labels",
                    "assignments": ("total_steps=3", "head_steps=2"),
                },
                "denoise": {
                    "objective": "denoise",
                    "assignments": ("epochs=1", "limit_per_class=8", "objective.width=4", "objective.depth=3"),
                },
            },
            "starting_points": {
                "given": {"model": str(point)},
                "classifier": {"task": "even", "method": "standard", "start": "given"},
            },
            "evaluation": {
                "certification": {"n0": 4, "n": 20},
                "radii": (0.0, 0.1),
                "certified_radius": 0.1,
                "attack": {"name": "pgd", "num_steps": 1},
            },
            "experiments": {
                "denoised": {
                    "role": "denoised",
                    "measure": {"attack": True, "certify": (0.25,)},
                    "runs": ({"task": "even", "start": "classifier", "method": "denoise"},),
                }
            },
        }
    )
    ours, (alone, behind) = StudyFolder(tmp_path / "ours"), plan_runs(study)
    assert start(study, ours).done == (alone.id, behind.id)
    first, second = ours.result(alone), ours.result(behind)
    assert first.parent_sha256 == open_checkpoint(point).weights_sha256
    assert second.parent_sha256 == first.weights_sha256 != second.weights_sha256
    before, after = (open_checkpoint(ours.checkpoint_path(run.id)) for run in (alone, behind))
    assert before.classifier_sha256 == after.classifier_sha256 and after.spec.certified.denoiser is not None
    assert second.empirical.sample == "stratified" and second.empirical.num_images == 6
    (certified,) = second.certifications
    assert (certified.sample, certified.num_images, certified.seed) == ("stratified", 5, 1)
    assert len(certified.classes) == 3 and "mean_per_class_certified_accuracy" in smoothed_classifier(second)
