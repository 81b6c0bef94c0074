"""Documents become rows only if they contradict neither their schema, nor themselves, nor their log."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from examples.leaderboard.published import OTHER_ALPHA
from training.study.leaderboard_rows import study_rows
from zoo.cards.leaderboard_schema import write_entry
from zoo.errors import RequestError, ZooError
from zoo.leaderboard.checkpoints import entry_of
from zoo.leaderboard.collection import collect
from zoo.leaderboard.curves import classes_of, count_at, counts_of, mean_radius, steps_of
from zoo.leaderboard.published import PublishedResult
from zoo.results.log import read_log
from zoo.results.summary import summarize

ROOT = Path(__file__).parents[3]
SEEDS = (ROOT / "model_cards", ROOT / "leaderboard", ROOT / "docs" / "study" / "results")
PUBLISHED = ROOT / "leaderboard" / "published"
CARD = ROOT / "model_cards" / "digits"


@pytest.fixture(scope="module")
def digits():
    """The document and the log of a kept entry."""
    return json.loads(write_entry(entry_of(CARD))), (CARD / "certification.tsv").read_text()


@pytest.fixture
def folder(tmp_path, digits):
    """A folder with a document and its log; the returned function writes other ones over them."""

    def write(document=digits[0], log=digits[1]):
        (tmp_path / "leaderboard.json").write_text(json.dumps(document))
        if log is not None:
            (tmp_path / "certification.tsv").write_text(log)
        return tmp_path

    write()
    return write


def changed(document, path, value):
    """A copy of the document with another value at the path."""
    copy = json.loads(json.dumps(document))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


@pytest.fixture(scope="module")
def seeds():
    """Everything that the repository keeps."""
    return collect(SEEDS, readers=(study_rows,))


def test_every_number_of_the_seeds_traces_to_its_document_and_log_by_hash(seeds):
    assert {row.status for row in seeds.rows} == {"measured", "reported"}
    assert {row.evidence for row in seeds.rows} == {"log", "curve", "document"}
    for row in seeds.rows:
        files = [row.trace.document] + ([row.trace.log] if row.evidence == "log" else [])
        for file in files:
            assert hashlib.sha256(seeds.files[file.href]).hexdigest() == file.sha256, row.name
            assert not Path(file.name).is_absolute()
        assert row.status == "measured" or (row.trace.citation and row.trace.log.url.startswith("https://raw.github"))
    assert len({row.id for row in seeds.rows}) == len(seeds.rows) >= 120


def test_a_row_of_a_log_has_the_accuracy_of_the_log_at_every_radius(seeds):
    (row,) = (row for row in seeds.rows if row.name == "resnet10-quarter.consistency_s50_digits")
    rows = read_log(CARD / "certification.tsv")
    radii = [0.0, 0.29, 0.7, 1.2, 1.5]
    for radius, point in zip(radii, summarize(rows, radii=radii).certified_accuracy, strict=True):
        step = next(step for step in row.curve if step[0] >= radius)
        assert step[1:] == pytest.approx((point.accuracy, point.low, point.high), abs=1e-6)
    counts = counts_of(rows)
    assert count_at(counts, 99.0) == 0
    assert mean_radius(counts, num_images=len(rows)) == pytest.approx(row.average_certified_radius.value)
    certified = [tuple(sum(least >= radius for least in of.radii) for radius in radii) for of in row.classes]
    assert certified == [of.num_certified for of in summarize(rows, radii=radii).classes]
    assert [of.num_images for of in row.classes] == [of.num_images for of in summarize(rows, radii=radii).classes]


def test_classes_have_the_names_of_the_checkpoint_and_are_left_out_if_they_are_many_or_one_radius_was_decided(seeds):
    (row,) = (row for row in seeds.rows if row.name.endswith("fashion-mnist-3-4-6-7-9"))
    assert [of.name for of in row.classes] == ["Dress", "Coat", "Shirt", "Sneaker", "Ankle boot"]
    rows = read_log(CARD / "certification.tsv")
    assert [of.name for of in classes_of(rows, ("zero", "one"))[:3]] == ["zero", "one", "2"]
    assert classes_of([replace(row, label=at) for at, row in enumerate(rows[:21])], ()) == ()
    decided = [replace(row, provenance=replace(row.provenance, stopping="at-radius", radius_asked=0.5)) for row in rows]
    assert classes_of(decided, ()) == ()


def test_a_step_never_reaches_a_larger_radius_than_the_row():
    assert [step[0] for step in steps_of([(0.29, 3), (0.7000009, 2), (0.7000019, 1)], num_images=4)] == [
        0.29, 0.7, 0.700001,
    ]  # fmt: skip


CERTIFIED = ("measured", "certified")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ((*CERTIFIED, "certified_accuracy", 1, "accuracy", "value"), 0.9999, "not in its interval"),
        ((*CERTIFIED, "certified_accuracy", 1, "accuracy"), {"value": 0.99, "low": 0.9, "high": 1}, "not a fraction"),
        ((*CERTIFIED, "certified_accuracy", 1, "accuracy"), {"value": 0.95, "low": 0.94, "high": 0.96}, "images give"),
        ((*CERTIFIED, "average_certified_radius"), {"value": 1.6, "low": None, "high": None}, "the log gives"),
        (
            (*CERTIFIED, "average_certified_radius"),
            {"value": 9.6, "low": None, "high": None},
            "alpha and accuracy allow",
        ),
        ((*CERTIFIED, "n"), 100_000, "n: the card says 100000, row 0 of the log says 10000"),
        ((*CERTIFIED, "alpha"), 1e-9, "alpha: the card says 1e-09"),
        ((*CERTIFIED, "sigma"), 1.0, "sigma: the card says 1.0"),
        ((*CERTIFIED, "bound"), "simultaneous", "bound: the card says simultaneous"),
        ((*CERTIFIED, "images", "skip"), 1, "image 1 is not in the log"),
        ((*CERTIFIED, "rows_sha256"), "0" * 64, "no document names this log"),
        ((*CERTIFIED, "rows_sha256"), None, "no document names this log"),
        (("measured", "certified"), None, "no document names this log"),
        (("weights_sha256"), "abc", "weights_sha256"),
        (("stars",), 5, "Extra inputs are not permitted"),
    ],
)
def test_a_doctored_document_is_refused(folder, digits, path, value, said):
    path = (path,) if isinstance(path, str) else path
    with pytest.raises(ZooError, match=re.escape(said)):
        collect([folder(changed(digits[0], path, value))])


def test_a_doctored_log_is_refused_also_if_the_document_names_its_hash(folder, digits):
    document, log = digits
    lines = log.splitlines(keepends=True)
    columns = lines[5].split("\t")
    columns[3] = str(float(columns[3]) / 2)
    doctored = "".join([*lines[:5], "\t".join(columns), *lines[6:]])
    with pytest.raises(ZooError, match="no document names this log"):
        collect([folder(log=doctored)])
    sha256 = hashlib.sha256(doctored.encode()).hexdigest()
    with pytest.raises(ZooError, match=f"row {columns[0]}: radius is .* but its counts give"):
        collect([folder(changed(document, (*CERTIFIED, "rows_sha256"), sha256), doctored)])


def test_without_a_log_the_row_says_so_and_shares_still_bind(folder, digits):
    path = folder()
    (path / "certification.tsv").unlink()
    (row,) = collect([path]).rows
    assert (row.evidence, row.curve, row.trace.log.href) == ("document", None, None)
    rising = digits[0]["measured"]["certified"]["certified_accuracy"]
    rising = [rising[0], {**rising[1], "accuracy": {"value": 1.0, "low": None, "high": None}}, *rising[2:]]
    with pytest.raises(ZooError, match=r"certified accuracy is 1\.0 at radius"):
        collect([folder(changed(digits[0], (*CERTIFIED, "certified_accuracy"), rising), None)])


def test_a_checkpoint_is_read_without_its_weights_and_refused_if_a_file_was_edited(tmp_path):
    copy = Path(shutil.copytree(CARD, tmp_path / "digits"))
    assert collect([tmp_path]).rows[0].evidence == "log"
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(
        config.replace('"average_certified_radius": 1.', '"average_certified_radius": 2.')
    )
    with pytest.raises(ZooError) as error:
        collect([tmp_path])
    assert "digits: config.json: SHA-256 is" in str(error.value)
    assert "digits: numbers: average certified radius: the card says 2." in str(error.value)


AUDIT = {"refuted": False, "task": "digits", "num_images": 60, "claimed_n": 10_000, "contradictions": [], "seed": 1}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({}, None),
        ({"refuted": True}, "the audit refuted a claim"),
        ({"claimed_n": 100}, "the audit is of n 100, the document of 10000"),
        ({"task": "pets"}, "the audit is of task pets"),
        ({"rows_sha256": "0" * 64}, "no document has the weights"),
        ({"rows_sha256": None}, "rows_sha256: Input should be a valid string"),
    ],
)
def test_an_audit_counts_only_for_the_weights_log_and_claims_that_it_is_of(folder, digits, edit, said):
    document, path = digits[0], folder()
    named = {
        "weights_sha256": document["weights_sha256"],
        "rows_sha256": document["measured"]["certified"]["rows_sha256"],
    }
    (path / "audit.json").write_text(json.dumps({**AUDIT, **named, **edit}))
    if said is None:
        (row,) = collect([path]).rows
        assert row.status == "audited" and row.trace.audit.name.endswith("audit.json")
        return
    with pytest.raises(ZooError, match=said):
        collect([path])


@pytest.mark.parametrize(
    ("name", "edit", "said"),
    [
        ("jeong2020_imagenet_s50", {"average_certified_radius": 0.9}, "the document says 0.9, the log gives"),
        ("jeong2020_imagenet_s50", {"abstention_rate": 0.0}, "abstention rate: the document says 0.0"),
        ("jeong2020_imagenet_s50", {"sigma": 0.25}, "sigma, n and alpha allow at most"),
        ("cohen2019_imagenet_s50", {"standard_accuracy": 0.6}, "standard accuracy: the document says 0.6"),
        ("cohen2019_imagenet_s50", {"curve": [[0.5, 200], [1.0, 300]]}, "its counts decrease"),
        ("cohen2019_imagenet_s50", {"log": None}, "a curve needs the log"),
        (
            "cohen2019_imagenet_s50",
            {"alpha": 0.001},
            "the log has a radius of 1.96, but sigma, n and alpha allow at most",
        ),
    ],
)
def test_a_doctored_published_result_is_refused(tmp_path, name, edit, said):
    document = json.loads((PUBLISHED / f"{name}.json").read_text())
    (tmp_path / "published.json").write_text(json.dumps({**document, **edit}))
    log = PUBLISHED / f"{name}.tsv"
    if log.exists():
        shutil.copyfile(log, tmp_path / "log.tsv")
    with pytest.raises(ZooError, match=said):
        collect([tmp_path])


def test_a_table_is_compared_within_its_printed_digits_and_has_no_interval(tmp_path):
    document = json.loads((PUBLISHED / "cohen2019_imagenet_s50.json").read_text())
    table = {"precision": 0.01, "curve": None, "log": None, "average_certified_radius": None, "abstention_rate": None}
    points = [{"radius": 0.0, "accuracy": 0.57}, {"radius": 0.5, "accuracy": 0.46}, {"radius": 1.0, "accuracy": 0.37}]
    table |= {"standard_accuracy": 0.57, "certified_accuracy": points}
    (tmp_path / "table.json").write_text(json.dumps(document | table))
    (row,) = collect([tmp_path]).rows
    assert (row.evidence, row.points[1]) == ("document", (0.5, 0.46, None, None))


def test_an_edited_result_of_a_study_is_refused(tmp_path):
    result = json.loads((SEEDS[2] / "certified.clothes-1000.consistency.from-consistency.s0.json").read_text())
    certification = result["certifications"][0]
    certification["certified_accuracy"][1]["accuracy"] = 0.875
    (tmp_path / "run.json").write_text(json.dumps(result))
    with pytest.raises(ZooError, match=r"interval of the certified accuracy at 0.5 is .* 0.875 of 200 images"):
        collect([tmp_path], readers=(study_rows,))


def test_a_file_that_is_no_document_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(RequestError, match="no checkpoint and no JSON document"):
        collect([tmp_path])
    with pytest.raises(RequestError, match="is not a folder"):
        collect([tmp_path / "missing"])
    (tmp_path / "a.json").write_text("[1]")
    (tmp_path / "b.json").write_text('{"name": "x"}')
    with pytest.raises(ZooError, match=r"a\.json is not a JSON document(.|\n)*b\.json: it is not a leaderboard entry"):
        collect([tmp_path])


def test_the_schema_of_published_results_in_the_repository_is_that_of_the_model():
    schema = json.loads((ROOT / "schemas" / "published.schema.json").read_text())
    assert schema == PublishedResult.model_json_schema()


def test_no_published_document_states_an_alpha_that_its_radii_contradict(seeds):
    left_open = {row.name for row in seeds.rows if OTHER_ALPHA in row.notes}
    assert len(left_open) == 5 and all(name.startswith("cohen2019_") for name in left_open)


def test_the_command_writes_the_page_and_nothing_for_a_doctored_document(zoo_command, folder, digits, tmp_path):
    site = tmp_path.parent / f"{tmp_path.name}_site"
    done = zoo_command("leaderboard", "build", folder(), "--output", site)
    assert (done.code, done.out.strip()) == (0, str(site / "index.html")), done.err
    assert len(list((site / "files").iterdir())) == 2
    page = (site / "index.html").read_bytes()
    assert zoo_command("leaderboard", "build", folder(), "--output", site).code == 0
    assert (site / "index.html").read_bytes() == page
    doctored = changed(digits[0], (*CERTIFIED, "n"), 100_000)
    refused = zoo_command("leaderboard", "build", folder(doctored), "--output", site.with_name("other"))
    assert refused.code == 1 and "leaderboard.json: n: the card says 100000" in refused.err
    assert not site.with_name("other").exists()
