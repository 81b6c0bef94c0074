"""What a card says is held against its rows, number by number."""

from dataclasses import replace

import pytest

from tests.zoo.cards.test_card import CERTIFICATION
from tests.zoo.results.test_log import ADDED, ANYTIME, log_of, without
from tests.zoo.results.test_log import row as certified_row
from tests.zoo.results.test_summary import row as published_row
from zoo.models.measurements import CertifiedAccuracy, SharedAlpha
from zoo.results.contradictions import contradictions
from zoo.results.log import parse_log
from zoo.results.selection import Selection
from zoo.results.summary import summarize

# Images 0, 3, 6, ... of 30: eight right, one wrong, one abstention.
ROWS = [
    *[certified_row(900 + 10 * image, idx=3 * image) for image in range(8)],
    certified_row(990, idx=24, label=5),
    certified_row(500, idx=27),
]
LABELS = [row.label for row in ROWS for _ in range(3)]


BETTER = summarize(ROWS, radii=[]).p_a_of_label
BETTER = BETTER.model_copy(
    update={
        "points": tuple(
            point.model_copy(update={"share": 0.0}) if point.p_a == 0.9 else point for point in BETTER.points
        )
    }
)


def honest(rows, **changed):
    summary = summarize(rows, radii=[0.0, 0.5, 0.8])
    names = ("num_images", "mean_n", "standard_accuracy", "standard_accuracy_interval", "average_certified_radius")
    names += ("average_certified_radius_interval", "abstention_rate", "certified_accuracy", "bound", "p_a_of_label")
    told = {name: getattr(summary, name) for name in names}
    return CERTIFICATION.model_copy(update=told | changed)


def test_a_card_that_follows_from_its_rows_is_not_contradicted():
    assert contradictions(honest(ROWS), ROWS, labels=LABELS) == []
    before = honest(ROWS, mean_n=None, bound=None, p_a_of_label=None)  # a card of before these were recorded
    assert contradictions(before, ROWS, labels=LABELS) == []


def test_a_distribution_that_the_log_does_not_determine_is_named():
    old = parse_log(without(log_of(*ROWS), *ADDED), source="old")
    (found,) = contradictions(honest(ROWS), old, labels=LABELS)
    assert found == "distribution of p_A of the true class: the card gives it, but the log does not determine it"


def test_certificates_that_hold_at_once_are_not_too_many_and_have_their_part_of_alpha():
    shared = SharedAlpha(alpha=0.01, size=10)
    assert contradictions(honest(ROWS, family=shared), ROWS, labels=LABELS) == []
    for family, said in (
        (
            SharedAlpha(alpha=0.0091, size=9),
            "family: the card says that 9 certificates share alpha, the log has 10 rows",
        ),
        (
            SharedAlpha(alpha=0.001, size=10),
            "family: each of 10 certificates may have alpha 9.999999999999999e-05, the card says 0.001",
        ),
        (SharedAlpha(alpha=0.01, size=11), "family: each of 11 certificates may have alpha 0.00090"),
    ):
        (found,) = contradictions(honest(ROWS, family=family), ROWS, labels=LABELS)
        assert found.startswith(said)


@pytest.mark.parametrize("sample", ["random", "stratified"])
def test_a_sample_is_drawn_again_where_the_test_set_is_there(sample):
    chosen = Selection(sample=sample, num_images=4, seed=7).of([4] * 30)
    rows = [certified_row(950, idx=index) for index in chosen]
    claim = honest(rows, skip=1, sample=sample)
    assert contradictions(claim, rows, labels=[4] * 30) == contradictions(claim, rows, labels=None) == []
    other = [certified_row(950, idx=index) for index in range(4)]
    claim = honest(other, skip=1, sample=sample)
    (found,) = contradictions(claim, other, labels=[4] * 30)
    assert f"the card says a {sample} sample with seed 7 (4), but the log contains 4 images" in found
    assert contradictions(claim, other, labels=None) == []  # any images may be the sample of some test set
    assert "the test set has only 3" in contradictions(claim, other, labels=[4] * 3)[0]


def test_the_images_of_each_class_are_counted_again():
    classes = summarize(ROWS, radii=[0.0, 0.5, 0.8]).classes
    assert contradictions(honest(ROWS, classes=classes), ROWS, labels=LABELS) == []
    forged = (classes[0].model_copy(update={"num_certified": (9, 9, 9)}), *classes[1:])
    (found,) = contradictions(honest(ROWS, classes=forged), ROWS, labels=LABELS)
    assert "images of a class: the card says 9 of class 4, certified (9, 9, 9), the log gives 9 of class 4" in found
    (found,) = contradictions(honest(ROWS, classes=classes[:1]), ROWS, labels=LABELS)
    assert "the card says no further class" in found


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"average_certified_radius": 1.1}, "average certified radius: the card says 1.1, the log gives 0."),
        ({"average_certified_radius": None}, "average certified radius: the card says None"),
        ({"standard_accuracy": 0.9}, "standard accuracy: the card says 0.9, the log gives 0.8"),
        ({"abstention_rate": 0.0}, "abstention rate: the card says 0.0, the log gives 0.1"),
        ({"num_images": 11}, "num images: the card says 11, the log gives 10"),
        (
            {"certified_accuracy": (CertifiedAccuracy(radius=0.5, accuracy=0.99, low=0.95, high=1.0),)},
            "certified accuracy at 0.5 and its interval: the card says (0.99, 0.95, 1.0), the log gives (0.8,",
        ),
        ({"n": 900}, "n: the card says 900, row 0 of the log says 1000"),
        ({"alpha": 0.0001}, "alpha: the card says 0.0001, row 0 of the log says 0.001"),
        ({"sigma": 0.25}, "sigma: the card says 0.25, row 0 of the log says 0.5"),
        ({"n0": 10}, "n0: the card says 10, row 0 of the log says 100"),
        ({"noise": "discrete"}, "noise: the card says discrete, row 0 of the log says gaussian"),
        ({"seed": 8}, "seed: the card says 8, row 0 of the log says 7"),
        ({"backend": "x"}, "backend: the card says x, row 0 of the log says torch-cpu-float32"),
        ({"bound": "simultaneous"}, "bound: the card says simultaneous, row 0 of the log says clopper-pearson"),
        ({"p_a_of_label": BETTER}, "share of images with p_A of at most 0.9: the card says (0.0, "),
        ({"skip": 1}, "the card says every image (30), but the log contains 10 images; image 1 is not in the log"),
        ({"maximum": 27}, "below 27 (9), but the log contains 10 images; image 27 is in the log too"),
    ],
)
def test_what_differs_is_named_with_both_values(changed, said):
    (found,) = contradictions(honest(ROWS, **changed), ROWS, labels=LABELS)
    assert said in found


def test_a_class_that_is_not_the_test_sets_is_named():
    labels = [*LABELS[:27], 9, 9, 9]
    assert contradictions(honest(ROWS), ROWS, labels=labels) == ["row 27: the log says class 4, the test set says 9"]
    (found,) = contradictions(honest(ROWS), ROWS, labels=[9] * 30)
    assert found == "row 0, and 9 others: the log says class 4, the test set says 9"


def test_rows_that_ended_early_may_have_fewer_draws_than_the_card_says_but_not_more():
    rows = [certified_row(900 + idx, idx=idx, rule=ANYTIME) for idx in range(30)]
    claim = honest(rows, stopping="anytime", skip=1)
    assert contradictions(claim, rows, labels=[4] * 30) == []
    short = replace(rows[3], provenance=replace(rows[3].provenance, n=950))
    changed = [*rows[:3], short, *rows[4:]]
    assert contradictions(honest(changed, stopping="anytime", skip=1), changed, labels=[4] * 30) == []
    (found,) = contradictions(honest(rows, stopping="anytime", skip=1, n=999), rows, labels=[4] * 30)
    assert "n: the card says 999, row 0 of the log says 1000" in found


def test_rows_that_do_not_say_how_they_were_found_are_no_evidence():
    rows = [published_row(idx, 4, 4, 0.5) for idx in range(0, 30, 3)]
    found = contradictions(CERTIFICATION, rows, labels=[4] * 30)
    assert "sigma: the card says 0.5, row 0 of the log says None" in found
    assert contradictions(CERTIFICATION, [], labels=[4] * 30) == [
        "the card claims certified numbers, but the log has no rows"
    ]
