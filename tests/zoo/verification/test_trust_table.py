"""What catches what: every forgery against every defence, and the resulting table of docs/explanation/trust.md."""

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from tests.zoo.verification import forging
from training.evaluation.certification import certify_images
from training.evaluation.certification_log import certification_run
from training.evaluation.recording import record_certification
from training.tasks import open_task
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.checkpoints.signing import make_key, sign
from zoo.errors import LogError, ZooError
from zoo.loading.backend import open_backend
from zoo.results.selection import Selection
from zoo.smoothing import SamplingOptions, SmoothingSpec
from zoo.verification import verify
from zoo.verification.verification import check_signature

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "trust.md"
BEGIN, END = "<!-- what catches what: begin -->\n", "<!-- what catches what: end -->\n"
HEADER = (
    "| the forger | every load | `zoo verify` | ... hashes made to fit | ... card made to fit too | `zoo audit` then | "
    "`zoo verify --public-key` |"
)
NOTHING = "**passes**"
FORGERIES = {
    "flips one byte of the weights": forging.flip_a_weight_byte,
    "edits the ACR on the card": forging.edit_acr_in_card,
    "edits the ACR in config.json": forging.edit_acr_in_config,
    "edits the radius of a row": forging.edit_a_row,
    "edits a row, counts and all": forging.edit_a_row_by_its_counts,
    "adds a file (a pickle)": forging.add_a_file,
    "puts a pickle under the weights' name": forging.put_a_pickle_for_the_weights,
    "edits sigma in config.json": forging.edit_sigma_in_config,
    "edits sigma everywhere in config.json": forging.edit_sigma_everywhere_in_config,
    "... and in the rows, radii and all": forging.edit_sigma_and_rows,
    "invents rows, and all numbers from them": forging.invent_rows,
    "puts other weights under the old numbers": forging.put_other_weights,
    "invents a clean accuracy": forging.invent_an_evaluation,
}
MEASURED_ANEW = "puts other weights, and measures them anew"


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    private = tmp_path_factory.mktemp("keys") / "key.pem"
    make_key(private)
    return private


@pytest.fixture
def signed(certified_digits, key, tmp_path):
    """Makes a fresh signed copy of the honest checkpoint, and says whose signature it is."""

    def fresh(name):
        path = Path(shutil.copytree(certified_digits.path, tmp_path / name))
        sign(open_checkpoint(path), key)
        return path

    return fresh


@pytest.fixture
def public_key(key):
    return key.with_name("key.pem.pub")


def caught_by(path):
    """The checks that fail, in words for the table."""
    failed = [check.name for check in verify(path).checks if check.findings]
    return ", ".join(failed) if failed else NOTHING


def signature(path, public_key):
    return "signature" if check_signature(path, public_key).findings else NOTHING


@pytest.mark.slow
def test_the_table_of_the_page_is_what_happens(signed, public_key, zoo_command, tmp_path):
    """Thirteen forgeries, and one that is none: the last one is honest but for who made it."""
    lines = [HEADER, "|" + "---|" * (HEADER.count("|") - 1)]
    for number, (name, forge) in enumerate(FORGERIES.items()):
        path = signed(f"copy{number}")
        forge(path)
        cells = [loaded(path), caught_by(path)]
        forging.recompute_manifest(path)
        cells.append(caught_by(path))
        if forge is forging.edit_acr_in_card:  # rendered again, the card is honest again
            cells += ["(undoes it)", "", signature(path, public_key)]
        else:
            recompute_card(path)
            cells.append(caught_by(path))
            backend = "torch" if forge is forging.put_other_weights else "auto"
            cells.append(audited(path, zoo_command, backend=backend) if cells[-1] == NOTHING else "")
            cells.append(signature(path, public_key))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    path = signed("other")
    measure_other_weights(path, tmp_path)
    agrees = caught_by(path)
    audit = audited(path, zoo_command, backend="torch")
    cells = [loaded(path), agrees, agrees, agrees, audit, signature(path, public_key)]
    lines.append(f"| {MEASURED_ANEW} | " + " | ".join(cells) + " |")
    table, text = "\n".join(lines) + "\n", PAGE.read_text()
    assert text[text.index(BEGIN) + len(BEGIN) : text.index(END)] == table, table


def loaded(path):
    try:
        open_checkpoint(path)
    except ZooError:
        return "refused"
    return NOTHING


def recompute_card(path):
    """As far as it can be: rows that are no log give no picture."""
    try:
        forging.recompute_card(path)
    except LogError:
        forging.recompute_manifest(path)


def audited(path, zoo_command, *, backend="auto"):
    """The network of the honest weights has been exported; exporting another one takes longer than its draws."""
    done = zoo_command("audit", path, "--task", "digits", "--images", 60, "--seed", 1, "--backend", backend)
    return {0: NOTHING, 1: "refuted"}[done.code]


def measure_other_weights(path, folder):
    """An untrained network's own numbers: nothing is wrong with them."""
    forging.put_other_weights(path)
    forging.recompute_manifest(path)
    checkpoint, task = open_checkpoint(path), open_task("digits", data_dir=folder)
    base, options = open_backend(checkpoint, backend="torch"), SamplingOptions(batch_size=256)
    run = certification_run(
        checkpoint, task, smoothing=SmoothingSpec(sigma=0.5, n0=20, n=100), base=base, options=options, seed=0
    )
    rows = certify_images(
        run, base, task.test, Selection(skip=3).of(task.test.labels), output=folder / "again.tsv",
        options=options, console=Console(quiet=True),
    )  # fmt: skip
    record_certification(checkpoint, run, rows, selection=Selection(skip=3))
