"""The report of the pictures study: few labels, real pictures, and networks of one or several seeds."""

from __future__ import annotations

from training.study.pictures.claims import CLAIM_SET
from training.study.pictures.dot_plot import pictures_figures
from training.study.pictures.measures import baselines_table, measures_tables
from training.study.report import Report

PICTURES = Report(
    claims=CLAIM_SET,
    overview=lambda evidence: [baselines_table(evidence)],
    tables=measures_tables,
    figures=pictures_figures,
)
