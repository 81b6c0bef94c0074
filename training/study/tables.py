"""The paper's Tables 2 to 7 from a study's evidence, and the paper's numbers for the same rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

from training.study.evidence import (
    ACR,
    CERTIFIED_ACCURACY,
    ROBUST_ACCURACY,
    Cell,
    Evidence,
    certified,
    certified_at_radii,
    empirical,
    smoothed_at,
    under_noise,
)
from training.study.long_table import STANDARD_ACCURACY


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row: the values of its key columns, and its numbers by metric."""

    key: tuple[str, ...]
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTable:
    """A table in long form.

    `stem` names its file, and the file of the paper's table if there is one. `keys` and `metrics` are its columns.
    """

    stem: str
    title: str
    keys: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def paper(self) -> dict[tuple[str, ...], dict[str, float]]:
        """The paper's numbers by row key; keys are compared without case and punctuation."""
        source = files("training.study") / "paper" / f"{self.stem}.csv"
        if not source.is_file():
            return {}
        lines = csv.DictReader(source.read_text(encoding="utf-8").splitlines())
        return {
            plain(tuple(line[name] for name in self.keys)): {n: float(line[n]) for n in self.metrics if line[n]}
            for line in lines
        }


def study_tables(evidence: Evidence) -> list[StudyTable]:
    """The paper's tables, and one for its section 5.2; tables without rows are left out."""
    tables = (
        StudyTable(
            stem="table2_noise",
            title="Table 2. Accuracy (%) of base classifiers under Gaussian noise",
            keys=("method", "sigma"),
            metrics=("accuracy",),
            rows=tuple(_noise_rows(evidence)),
        ),
        StudyTable(
            stem="table3_certified_accuracy",
            title="Table 3. Certified accuracy (%) of smoothed classifiers by radius",
            keys=("method", "smoothing_sigma", "radius"),
            metrics=("certified_accuracy",),
            rows=tuple(_radius_rows(evidence)),
        ),
        StudyTable(
            stem="table4_empirical",
            title="Table 4. Adversarial fine-tuning: accuracy and robust accuracy (%) of base classifiers",
            keys=("task", "initialization"),
            metrics=(STANDARD_ACCURACY, ROBUST_ACCURACY),
            rows=tuple(_rows(evidence, "empirical")),
        ),
        StudyTable(
            stem="table5_certified",
            title="Table 5. Consistency fine-tuning: accuracy (%), certified accuracy at 0.5 (%) and ACR of smoothed "
            "classifiers",
            keys=("task", "initialization"),
            metrics=(STANDARD_ACCURACY, CERTIFIED_ACCURACY, ACR),
            rows=tuple(_rows(evidence, "certified")),
        ),
        StudyTable(
            stem="table6_pretraining",
            title="Table 6. Comparison of pre-training methods; RA (%) is robust accuracy or certified accuracy at 0.5",
            keys=("task", "robustness", "initialization"),
            metrics=(STANDARD_ACCURACY, ROBUST_ACCURACY, ACR),
            rows=tuple(_pretraining_rows(evidence)),
        ),
        StudyTable(
            stem="table7_last_layer",
            title="Table 7. Standard fine-tuning of the last layer on features of consistency training, smoothed",
            keys=("task", "smoothing_sigma"),
            metrics=(STANDARD_ACCURACY, CERTIFIED_ACCURACY, ACR),
            rows=tuple(_last_layer_rows(evidence)),
        ),
        StudyTable(
            stem="section5_2_standard_fine_tuning",
            title="Section 5.2. Standard fine-tuning from a robust start: base classifier, then certified accuracy at "
            "0.5 and ACR",
            keys=("task", "fine_tuning", "initialization"),
            metrics=(STANDARD_ACCURACY, ROBUST_ACCURACY, CERTIFIED_ACCURACY, ACR),
            rows=tuple(_standard_rows(evidence)),
        ),
    )
    return [table for table in tables if table.rows]


def plain(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words in lower case, without punctuation, so that CIFAR-10 and cifar10 are equal."""
    return tuple("".join(letter for letter in word.lower() if letter.isalnum() or letter == ".") for word in words)


def _noise_rows(evidence: Evidence) -> Iterator[Row]:
    for method, cells in evidence.pretrained(under_noise).items():
        for sigma, cell in cells.items():
            yield Row(key=(method, sigma), cells={"accuracy": cell})


def _radius_rows(evidence: Evidence) -> Iterator[Row]:
    sigmas = sorted({measured.sigma for _, result in evidence.finished for measured in result.certifications})
    for sigma in sigmas:
        for method, cells in evidence.pretrained(certified_at_radii(sigma)).items():
            for radius, cell in cells.items():
                yield Row(key=(method, f"{sigma:g}", radius), cells={"certified_accuracy": cell})


def _rows(evidence: Evidence, kind: str) -> Iterator[Row]:
    for (target, _, start), cells in evidence.robustness(kind).items():
        yield Row(key=(target, start), cells=cells)


def _pretraining_rows(evidence: Evidence) -> Iterator[Row]:
    """Rows for the tasks that also have results from standard pre-training, as in the paper's Table 6."""
    for kind in ("empirical", "certified"):
        rows = evidence.robustness(kind)
        compared = {target for target, _, start in rows if start == "standard"}
        for (target, _, start), cells in rows.items():
            if target in compared and start != "random":
                renamed = {
                    ROBUST_ACCURACY if name == CERTIFIED_ACCURACY else name: cell for name, cell in cells.items()
                }
                yield Row(key=(target, kind, start), cells=renamed)


def _last_layer_rows(evidence: Evidence) -> Iterator[Row]:
    sigmas = {
        measured.sigma
        for run, result in evidence.finished
        if run.role == "last-layer"
        for measured in result.certifications
    }
    by_sigma = {sigma: evidence.cells("last-layer", smoothed_at(sigma)) for sigma in sorted(sigmas, reverse=True)}
    for key in dict.fromkeys(key for cells in by_sigma.values() for key in cells):
        for sigma, cells in by_sigma.items():
            if key in cells:
                yield Row(key=(key[0], f"{sigma:g}"), cells=cells[key])


def _standard_rows(evidence: Evidence) -> Iterator[Row]:
    base = evidence.cells("standard-fine-tuning", empirical)
    smoothed = evidence.cells("standard-fine-tuning", certified)
    for key in dict.fromkeys((*base, *smoothed)):
        target, method, start = key
        certified_cells = {n: cell for n, cell in smoothed.get(key, {}).items() if n != STANDARD_ACCURACY}
        yield Row(key=(target, method, start), cells={**base.get(key, {}), **certified_cells})
