"""Tables, figures, claims and the page: the paper's runs give the paper's numbers; missing results stay missing."""

import csv
import re
from pathlib import Path

import pytest

from tests.training.study.conftest import TWO_RUNS
from tests.training.study.fabricated import DATA, evidence, papers_study
from training.study.built_in import find_study
from training.study.claim import Rule
from training.study.claims import CLAIM_SET, CLAIMS
from training.study.collect import collect
from training.study.evidence import Evidence, gather
from training.study.folder import StudyFolder
from training.study.improvements import improvements
from training.study.long_table import read_table
from training.study.plan import plan_runs
from training.study.statistics import summarize_table
from training.study.study_file import read_study
from zoo.errors import RequestError

ROOT = Path(__file__).parents[3]
MINIATURE = find_study("miniature")


@pytest.fixture(scope="module")
def paper():
    return papers_study()


@pytest.fixture(scope="module")
def documents(paper):
    return collect(*paper)


@pytest.fixture(scope="module")
def miniature():
    """Results whose robustness is two thirds of accuracy; pre-training, labels and the seed raise the accuracy."""
    study = read_study(MINIATURE)
    gains = {"random": 0, "simclr": 4, "standard": 5, "consistency": 8, "adversarial": 9}

    def numbers(run):
        labels = run.recipe.limit_per_class or 0
        accuracy = 50 + labels**0.4 + gains[run.starting_point] * (2 - labels / 1000) + run.seed
        return {
            "standard_accuracy": accuracy,
            "robust_accuracy": accuracy * 2 / 3,
            "certified_accuracy_at_0.5": accuracy * 2 / 3,
            "average_certified_radius": accuracy / 100,
        }

    return study, evidence(study, numbers)


def test_the_paper_s_runs_give_the_paper_s_statistics(paper):
    measured = {(row.kind, row.initialization, row.metric): row for row in improvements(paper[1])}
    for kind, name in (("empirical", "table4_empirical.csv"), ("certified", "table5_certified.csv")):
        for summary in summarize_table(read_table(DATA / name)):
            for metric, mean in summary.mean_relative_improvement.items():
                row = measured[kind, summary.initialization, metric]
                assert row.mean == pytest.approx(mean) and len(row.tasks) == 12
                if metric in summary.fits:
                    assert row.fit.r_squared == pytest.approx(summary.fits[metric].r_squared)


def test_a_table_s_file_has_the_paper_s_columns_first_and_can_be_summarized(documents, tmp_path):
    for name in ("table4_empirical.csv", "table5_certified.csv"):
        text = documents.contents[name].decode()
        paper = (DATA / name).read_text().splitlines()
        assert text.splitlines()[0].startswith(paper[0] + ",num_seeds,standard_accuracy_seeds_low")
        rows = {(row["task"], row["initialization"]): row for row in csv.DictReader(text.splitlines())}
        for row in csv.DictReader(paper):
            ours = rows[row["task"].lower(), row["initialization"]]
            assert all(float(ours[key]) == float(row[key]) for key in list(row)[2:])
        (tmp_path / name).write_text(text)
        assert len(summarize_table(read_table(tmp_path / name))) == 2


def test_the_paper_s_own_number_stands_beside_ours_where_the_cell_is_the_same(documents):
    text = documents.contents["tables.md"].decode()
    assert "| flowers | simclr | 93.7 (-; 88.7 to 98.7) | 86.1 (-; 81.1 to 91.1) | 93.7 | 86.1 |" in text
    assert "+11.4" in text and "0.98 (0." in text


def test_figures_are_drawn_and_the_page_holds_them(documents):
    page = documents.contents["report.html"].decode()
    for name in ("figure2.png", "figure3.png"):
        assert documents.contents[name].startswith(b"\x89PNG") and len(documents.contents[name]) > 20_000
    assert page.count('src="data:image/png;base64,') == 2 and not re.search(r'(src|href)="(?!data:)', page)


def test_the_miniature_makes_every_table_and_intervals_over_seeds(miniature):
    study, found = miniature
    documents = collect(study, found)
    assert [name for name in documents.contents if name.endswith(".csv")] == [
        "table2_noise.csv", "table3_certified_accuracy.csv", "table4_empirical.csv", "table5_certified.csv",
        "table6_pretraining.csv", "table7_last_layer.csv", "section5_2_standard_fine_tuning.csv",
    ]  # fmt: skip
    rows = list(csv.DictReader(documents.contents["table5_certified.csv"].decode().splitlines()))
    assert len(rows) == 6 * 4 and {row["num_seeds"] for row in rows} == {"3"}
    # Accuracies of the seeds are a, a + 1 and a + 2: Student's half width is 4.3027 / sqrt(3) = 2.4841.
    first = rows[0]
    low, mean, high = (float(first[f"standard_accuracy{end}"]) for end in ("_seeds_low", "", "_seeds_high"))
    assert (mean - low, high - mean) == pytest.approx((2.4841, 2.4841), abs=1e-3)
    assert len([name for name in documents.contents if name.startswith("results/")]) == len(found.finished)


def test_claims_are_answered_by_their_rules(miniature):
    answers = {row[0]: row[-1] for row in CLAIM_SET.answers(miniature[1]).rows}
    by_statement = {claim.statement: answers[name] for name, claim in CLAIMS.items()}
    assert by_statement["ACR is better from consistency than from random weights, on average over tasks."] == "yes"
    # Robustness in proportion to accuracy: its improvement is the same, and so is R^2 one.
    assert by_statement["Improvement in RA follows that in SA linearly, from simclr (Figures 2, 3)."] == "yes"
    assert by_statement["Smoothed at sigma 0.01, the adversarially trained network has no certified robustness "
                        "(Table 3)."] == "no"  # fmt: skip
    assert by_statement["AutoAttack lowers RA by 0.71 points against AutoPGD alone."] == "not testable"
    assert set(answers.values()) <= {"yes", "no", "undecided", "not testable"}
    assert {row[-1] for row in CLAIM_SET.answers(Evidence([], [])).rows} == {"undecided", "not testable"}


@pytest.mark.parametrize(
    ("rule", "interval", "answer"),
    [
        (Rule("above", 0), (0.1, 2), "yes"),
        (Rule("above", 0), (-2, -0.1), "no"),
        (Rule("above", 0), (-1, 1), "undecided"),
        (Rule("below", 5), (1, 4), "yes"),
        (Rule("below", 5), (6, 7), "no"),
        (Rule("within", 5), (-4, 4), "yes"),
        (Rule("within", 5), (5.5, 9), "no"),
        (Rule("within", 5), (-9, -5.5), "no"),
        (Rule("within", 5), (-6, 6), "undecided"),
        (Rule("above", 0), None, "undecided"),
    ],
)
def test_a_rule_says_yes_or_no_only_of_a_whole_interval(rule, interval, answer):
    assert rule.answer(interval) == answer


def test_the_document_of_claims_is_what_the_table_of_claims_says():
    assert (ROOT / "docs/study/claims.md").read_text() == f"{CLAIM_SET.document}\n"


def test_what_is_not_finished_is_said_and_not_made_up(miniature, two_runs):
    study, found = miniature
    partly = Evidence(found.finished[:20], [run for run, _ in found.finished[20:]])
    documents = collect(study, partly)
    assert documents.missing == (f"{len(partly.unfinished)} runs are not finished and are not included.",)
    with pytest.raises(RequestError, match="no run of two-runs is finished"):
        collect(two_runs, Evidence([], plan_runs(two_runs)))


def test_collect_writes_what_a_folder_holds(finished, zoo_command, tmp_path, two_runs):
    folder, _ = finished
    done = zoo_command("study", "collect", TWO_RUNS, "--folder", folder.path, "--output", tmp_path / "docs")
    assert done.code == 0 and "tables.md" in done.out
    written = sorted(path.name for path in (tmp_path / "docs" / "results").iterdir())
    assert written == sorted(f"{run.id}.json" for run in plan_runs(two_runs))
    text = (tmp_path / "docs" / "tables.md").read_text()
    certified = gather(plan_runs(two_runs), folder).finished[1][1].certification_at(0.25)
    assert (
        f"{100 * certified.standard_accuracy:.1f} (-;" in text and "n = 50, alpha = 0.05, bound simultaneous." in text
    )


def test_the_committed_documents_follow_from_the_committed_results():
    study, committed = read_study(MINIATURE), ROOT / "docs/study"
    documents = collect(study, gather(plan_runs(study), StudyFolder(committed)))
    texts = {name: content for name, content in documents.contents.items() if name.endswith((".md", ".csv", ".json"))}
    assert len(texts) == 8 + 186
    for name, content in texts.items():
        assert content == (committed / name).read_bytes(), name
