"""A checkpoint with correct claims passes its audit, and one with improved numbers is refuted."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from tests.zoo.cards.test_card import CERTIFICATION
from tests.zoo.results.test_log import row
from tests.zoo.verification.forging import invent, recompute_card, recompute_manifest, voted, write_config
from training.evaluation.audit import compare_rows, plan_audit
from training.evaluation.audit_report import describe_row
from training.evaluation.certification import certify_images
from training.evaluation.certification_log import certification_run
from training.evaluation.recording import record_certification
from training.tasks import open_task
from zoo.checkpoints.checkpoint import open_checkpoint, read_spec
from zoo.errors import CertificationError, RequestError
from zoo.leaderboard.collection import collect
from zoo.loading.backend import open_backend
from zoo.models.measurements import CertifiedAccuracy
from zoo.results.implausible import ImplausibleRow
from zoo.results.log import read_log
from zoo.results.multiple_testing import SIGNIFICANCE
from zoo.results.selection import Selection
from zoo.results.subsampling import subsampled
from zoo.smoothing import SamplingOptions, SmoothingSpec
from zoo.smoothing.named_rules import rule_from

N0, N, ALPHA = 20, 100, 0.001
RADII = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return open_task("digits", data_dir=tmp_path_factory.mktemp("data"))


def certified_copy(checkpoint, digits, folder, *, skip, rule):
    """A copy of the checkpoint that records what certifying every `skip`-th digit gave."""
    ours = open_checkpoint(shutil.copytree(checkpoint.path, folder / "c", ignore=shutil.ignore_patterns(".run")))
    base, options = open_backend(ours, backend="torch"), SamplingOptions(batch_size=256)
    smoothing = SmoothingSpec(sigma=0.5, n0=N0, stopping=rule, alpha=ALPHA)
    run = certification_run(ours, digits, smoothing=smoothing, base=base, options=options, seed=0)
    indices = Selection(skip=skip).of(digits.test.labels)
    console = Console(quiet=True)
    rows = certify_images(run, base, digits.test, indices, output=folder / "log.tsv", options=options, console=console)
    return record_certification(ours, run, rows, selection=Selection(skip=skip)).path


@pytest.fixture(scope="module")
def honest(certified_digits):
    """120 of 359 digits certified with 100 draws."""
    return certified_digits.path


@pytest.fixture
def copy(honest, tmp_path):
    return shutil.copytree(honest, tmp_path / "copy")


@pytest.fixture
def audit(zoo_command):
    def run(path, *words, images=60, seed=1):
        return zoo_command(
            "audit", path, "--task", "digits", "--images", images, "--seed", seed, "--device", "cpu", *words
        )

    return run


def doctor(path, change):
    """Changes the rows by `change`, and lets config and card say what the changed rows give."""
    invent(path, [change(row) for row in read_log(path / "certification.tsv")])
    recompute_card(path)


def claim(path, **changed):
    """Changes what the card says, the rows being left as they are."""
    write_config(path, certification=read_spec(path).certified.certification.model_copy(update=changed))
    recompute_card(path)


def wrong_class(row):
    """A row that is right about a class which is not the test set's."""
    how = replace(row.provenance, count_label=row.provenance.count_a)
    return replace(row, label=row.label + 1, predict=row.label + 1, correct=True, provenance=how)


def test_an_honest_checkpoint_passes_and_the_result_says_what_was_drawn(audit, honest, tmp_path):
    done = audit(honest, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["refuted"] is False and told["contradictions"] == told["implausible_rows"] == []
    assert (told["num_images"], told["seed"], told["n"], told["claimed_n"]) == (60, 1, N, N)
    assert told["significance"] == SIGNIFICANCE and 10 <= told["num_in_log"] <= 30
    assert {one["images"] for one in told["comparisons"]} == {"same", "other"}
    names = {one["claim"] for one in told["comparisons"]}
    assert {"certified accuracy at 0.5", "average certified radius", "share answered"} <= names
    same, other = (next(one for one in told["comparisons"] if one["images"] == kind) for kind in ("same", "other"))
    assert (same["num_claimed"], other["num_audited"]) == (told["num_in_log"], 60 - told["num_in_log"])
    assert 0.05 < other["smallest_overstatement"] < 0.5
    assert told["audited"]["num_images"] == 60 and told["audited"]["n"] == N
    (tmp_path / "audit.json").write_text(done.out)
    (entry,) = collect([honest, tmp_path]).rows
    assert entry.status == "audited", "the report names the weights and the log of the leaderboard's document"


@pytest.mark.parametrize("seed", [2, 3])
def test_an_honest_checkpoint_passes_under_fewer_draws_too(seed, audit, honest):
    done = audit(honest, "--n", 50, seed=seed)
    assert done.code == 0 and "no claim refuted" in done.out
    assert "n 50 (the card: 100, its rows subsampled to as many)" in " ".join(done.out.split())
    assert "certifying again" in done.err


def test_the_noise_is_fresh_even_under_the_seed_of_the_log_and_images_come_at_random(honest, digits):
    plan = plan_audit(open_checkpoint(honest), digits, num_images=60, n=None, seed=0)
    assert len(set(plan.indices)) == 60 and plan.indices != tuple(range(60))
    assert plan.indices != plan_audit(open_checkpoint(honest), digits, num_images=60, n=None, seed=1).indices
    unseeded = [plan_audit(open_checkpoint(honest), digits, num_images=60, n=None, seed=None) for _ in range(2)]
    assert unseeded[0].seed != unseeded[1].seed and unseeded[0].indices != unseeded[1].indices


def test_an_audit_under_the_seed_of_the_log_does_not_repeat_its_counts(audit, honest):
    told = json.loads(audit(honest, "--json", seed=0).out)
    acr = [one for one in told["comparisons"] if one["claim"] == "average certified radius" and one["images"] == "same"]
    assert acr[0]["claimed"] != acr[0]["audited"]


def test_a_card_that_says_other_than_its_rows_is_refuted_naming_what_differs(audit, copy):
    claim(copy, average_certified_radius=0.9)
    done = audit(copy, images=2)
    assert done.code == 1 and "REFUTED" in done.out
    assert "- average certified radius: the card says 0.9, the log gives 0." in done.out
    assert "too few images to test the card's averages" in done.out


def test_rows_that_were_made_better_are_named_though_the_card_follows_from_them(audit, copy, honest):
    """What was uncertain, wrong or abstained is said to be right with all draws agreeing."""
    doctor(copy, lambda row: voted(row, N, predict=row.label) if row.provenance.count_a < 80 else row)
    done = audit(copy, "--json", images=120)
    told = json.loads(done.out)
    assert done.code == 1 and told["contradictions"] == [] and told["implausible_rows"]
    before = {row.idx: row.provenance.count_a for row in read_log(honest / "certification.tsv")}
    assert all(before[found["idx"]] < 80 and found["most_votes"] < 90 for found in told["implausible_rows"])
    assert "fresh draws gave this class" in describe_row(ImplausibleRow(**told["implausible_rows"][0]))


def test_a_true_class_that_is_not_the_test_sets_is_refuted(audit, copy):
    doctor(copy, lambda row: row if row.idx else wrong_class(row))
    done = audit(copy, images=2)
    assert done.code == 1 and "row 0: the log says class" in done.out


def test_a_card_without_its_rows_or_with_impossible_ones_is_refuted_before_anything_is_drawn(audit, copy, tmp_path):
    other = shutil.copytree(copy, tmp_path / "other")
    rows = (copy / "certification.tsv").read_text().splitlines()
    values = rows[1].split("\t")
    values[3] = "3.5"
    rows[1] = "\t".join(values)
    (copy / "certification.tsv").write_text("\n".join(rows) + "\n")
    recompute_manifest(copy)
    done = audit(copy)
    assert done.code == 1 and "radius 3.5 is above" in done.out and "certifying" not in done.err
    manifest = json.loads((other / "manifest.json").read_text())
    del manifest["files"]["certification.tsv"]
    (other / "manifest.json").write_text(json.dumps(manifest))
    done = audit(other, "--json")
    told = json.loads(done.out)
    assert done.code == 1 and "the checkpoint has no certification.tsv" in told["contradictions"][0]
    assert told["audited"] is None


@pytest.mark.parametrize(("rule", "n"), [("anytime", 200), ("at-radius", 200)])
def test_claims_under_other_stopping_rules_are_audited_under_them(rule, n, audit, digits_checkpoint, digits, tmp_path):
    radius, tolerance = (0.5, None) if rule == "at-radius" else (None, 0.3)
    stopping = rule_from(rule, n=n, radius=radius, tolerance=tolerance)
    path = certified_copy(digits_checkpoint, digits, tmp_path, skip=12, rule=stopping)
    assert audit(path, images=40).code == 0
    refused = audit(path, "--n", 100)
    assert refused.code == 2 and f"--n needs the stopping rule fixed, but the card's rule is {rule}" in refused.err


def test_what_cannot_be_audited_is_refused(audit, honest, digits_checkpoint, zoo_command):
    refused = audit(digits_checkpoint.path)
    assert refused.code == 2 and "claims no certified numbers, so there is nothing to audit" in refused.err
    refused = audit(honest, images=360)
    assert refused.code == 2 and "--images 360 is more than the 359 test images of digits" in refused.err
    refused = audit(honest, "--n", 101)
    assert refused.code == 2 and "--n 101 is above the card's 100" in refused.err
    refused = audit(honest, "--n", 9)
    assert refused.code == 2 and "the least n is 10" in refused.err
    assert zoo_command("audit", honest, "--task", "digits", "--images", 0).code == 2


def test_a_claim_on_another_task_is_refused(honest, digits, copy):
    claim(copy, task="digits#0,1")
    with pytest.raises(RequestError, match="claims numbers on digits#0,1, not on digits"):
        plan_audit(open_checkpoint(copy), digits, num_images=5, n=None, seed=0)


CLAIM = CERTIFICATION.model_copy(
    update={"certified_accuracy": tuple(CertifiedAccuracy(radius=r, accuracy=0, low=0, high=1) for r in RADII)}
)


def simulated(rng, *, errors=0):
    """An audit of 60 of 150 images, of which the log holds every third, each of its counts larger by so many standard
    errors."""
    p_of = rng.beta(5, 0.7, 150)

    def drawn(idx, errors=0):
        count = int(rng.binomial(1000, p_of[idx]))
        return row(min(1000, count + round(errors * (count * (1 - count / 1000)) ** 0.5)), idx=idx)

    log = [drawn(idx, errors) for idx in range(0, 150, 3)]
    fresh = [drawn(idx) for idx in sorted(rng.choice(150, 60, replace=False).tolist())]
    comparisons, implausible = compare_rows(log, fresh, CLAIM, n=CLAIM.n, num_classes=10, generator=rng)
    return {(one.claim, one.images) for one in comparisons if one.is_refuted} | {one.idx for one in implausible}


def test_honest_checkpoints_are_refuted_about_as_seldom_as_promised_and_others_are():
    """Of 40 at 1 %, more than 2 have a chance of 0.7 %."""
    rng = np.random.default_rng(0)
    assert sum(simulated(rng) != set() for _ in range(40)) <= 2
    assert all(simulated(rng, errors=10) for _ in range(5))


def test_a_little_added_to_every_row_is_found_in_the_average_though_no_row_is_implausible():
    assert simulated(np.random.default_rng(0), errors=2) == {("average certified radius", "same")}


def test_fewer_draws_are_refused_where_rows_cannot_be_thinned():
    with pytest.raises(CertificationError, match="cannot be subsampled to 2000: that needs the rule fixed"):
        subsampled([row(900)], 2000, generator=np.random.default_rng(0))
