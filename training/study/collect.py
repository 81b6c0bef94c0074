"""A study's results as documents: tables, figures, answers to the claims, a page, and the result of every run."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jinja2

from training.study.claim import Claim, Estimate
from training.study.claims import CLAIMS
from training.study.evidence import Evidence
from training.study.figures import FIGURES, draw_improvements
from training.study.folder import RESULTS
from training.study.improvements import improvements, improvements_table
from training.study.rendering import TextTable, csv_text, text_table
from training.study.study_file import Study
from training.study.tables import study_tables
from zoo.errors import CheckpointError, RequestError
from zoo.filesystem.atomic_write import write_atomically

TEMPLATE = "report.html.j2"
CAPTIONS = {
    "figure2": "Figure 2. Adversarial fine-tuning: improvement in robust accuracy against improvement in standard "
    "accuracy, over random weights.",
    "figure3": "Figure 3. Consistency fine-tuning: improvement in certified accuracy at 0.5 and in average certified "
    "radius against improvement in standard accuracy, over random weights.",
}
READING = "Each point is one task: its mean over seeds. The line is a least-squares fit with its 95 % confidence band."


class Figure(NamedTuple):
    """A drawn figure: the stem of its file name, its caption, and its PNG."""

    stem: str
    caption: str
    png: bytes

    @property
    def base64(self) -> str:
        return base64.b64encode(self.png).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The collected files by name, and one sentence per gap in the results."""

    contents: dict[str, bytes]
    missing: tuple[str, ...]

    def write(self, output: Path) -> None:
        """Writes the files below `output`. Raises: CheckpointError if a file cannot be written."""
        try:
            for name, content in self.contents.items():
                write_atomically(output / name, content)
        except OSError as error:
            raise CheckpointError(f"cannot write below {output}: {error.strerror or error}") from error


def collect(study: Study, evidence: Evidence) -> Documents:
    """The documents of the study's finished runs.

    The results have the paths of a `StudyFolder`: the documents can be regenerated from them, and the study resumed.
    Raises: RequestError if no run is finished.
    """
    if not evidence.finished:
        raise RequestError(f"no run of {study.name} is finished: start them with zoo study run")
    papers_tables = study_tables(evidence)
    tables = [
        improvements_table(improvements(evidence)),
        answers_table(evidence),
        *(text_table(table) for table in papers_tables),
    ]
    figures = [
        Figure(stem, f"{CAPTIONS[stem]} {READING}", png)
        for stem, kind in FIGURES
        if (png := draw_improvements(evidence.table(kind))) is not None
    ]
    conditions = _conditions(study, evidence)
    contents = {f"{table.stem}.csv": csv_text(table).encode() for table in papers_tables}
    contents |= {f"{figure.stem}.png": figure.png for figure in figures}
    contents["tables.md"] = _markdown(study, conditions, figures, tables).encode()
    contents["report.html"] = _html(study, conditions, figures, tables).encode()
    contents |= {
        f"{RESULTS}/{run.id}.json": (result.model_dump_json(indent=2) + "\n").encode()
        for run, result in evidence.finished
    }
    return Documents(contents=contents, missing=tuple(conditions[-1:] if evidence.unfinished else ()))


def answers_table(evidence: Evidence) -> TextTable:
    """Every claim with its answer and the estimate that decides it."""
    return TextTable(
        title="The paper's claims",
        columns=("claim", "section", "statement in the paper", "estimate", "value", "answer"),
        rows=tuple(_answer(name, claim, evidence) for name, claim in CLAIMS.items()),
        note="Brackets contain 95 % intervals. claims.md lists the rules. They were fixed before the study ran, except "
        "that of C48. Several dozen claims are decided at 95 %, so a few answers will be wrong by chance.",
    )


def _answer(name: str, claim: Claim, evidence: Evidence) -> tuple[str, ...]:
    answer, estimate = claim.decide(evidence)
    return name, claim.section, claim.statement, claim.comparison, _in_words(claim, estimate), answer


def _in_words(claim: Claim, estimate: Estimate | None) -> str:
    if estimate is None:
        return "" if claim.rule is None else "no run measures this"
    unit = f" {claim.rule.unit}" if claim.rule is not None and claim.rule.unit else ""
    interval = "one seed only" if estimate.interval is None else "{:.3g} to {:.3g}".format(*estimate.interval)
    return f"{estimate.value:.3g}{unit} ({interval})"


def _conditions(study: Study, evidence: Evidence) -> list[str]:
    """The conditions of every number, one sentence each; the last sentence counts the unfinished runs, if any."""
    settings, certification = study.evaluation.attack, study.evaluation.certification
    attacks = {
        result.empirical.attack.model_copy(update={"seed": None}).describe()
        for _, result in evidence.finished
        if result.empirical is not None and result.empirical.attack is not None
    }
    sentences = [
        f"{len(evidence.finished)} runs of {study.architecture}, seeds {', '.join(map(str, evidence.seeds))}, "
        f"{sum(result.seconds.total for _, result in evidence.finished) / 3600:.1f} hours of computation.",
        f"Attack: {'; '.join(sorted(attacks)) or settings.name}. Certification: n0 = {certification.n0}, "
        f"n = {certification.n:,}, alpha = {certification.alpha:g}.",
        f"Test images: {_images(evidence)}.",
    ]
    if evidence.unfinished:
        sentences.append(f"{len(evidence.unfinished)} runs are not finished and are not included.")
    return sentences


def _images(evidence: Evidence) -> str:
    """The numbers of attacked and certified images of each task, in words."""
    counted: dict[str, tuple[int | None, int | None]] = {}
    for run, result in evidence.finished:
        base = None if result.empirical is None else result.empirical.num_images
        smoothed = max((certification.num_images for certification in result.certifications), default=None)
        before = counted.get(run.task, (None, None))
        counted[run.task] = (base or before[0], smoothed or before[1])
    return "; ".join(
        f"{task}: {base or 'none'} evaluated, {n or 'none'} certified" for task, (base, n) in counted.items()
    )


def _markdown(study: Study, conditions: Sequence[str], figures: Sequence[Figure], tables: Sequence[TextTable]) -> str:
    head = f"# Transfer study: {study.name}\n\nGenerated by `zoo study collect`.\n\n"
    listed = "\n".join(f"- {sentence}" for sentence in conditions)
    images = "\n\n".join(f"![{figure.caption}]({figure.stem}.png)" for figure in figures)
    return "\n\n".join([head + listed, images, *(table.markdown for table in tables)]) + "\n"


def _html(study: Study, conditions: Sequence[str], figures: Sequence[Figure], tables: Sequence[TextTable]) -> str:
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.from_string((files("training.study") / TEMPLATE).read_text(encoding="utf-8"))
    return template.render(name=study.name, conditions=conditions, figures=figures, tables=tables)
