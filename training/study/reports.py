"""The reports by name: that of the paper's tables and figures, and that of the pictures study."""

from __future__ import annotations

from collections.abc import Mapping

from training.study.claims import CLAIM_SET
from training.study.figures import papers_figures
from training.study.improvements import improvements, improvements_table
from training.study.pictures.report import PICTURES
from training.study.report import Report
from training.study.study_file import ReportName
from training.study.tables import study_tables

PAPER = Report(
    claims=CLAIM_SET,
    overview=lambda evidence: [improvements_table(improvements(evidence))],
    tables=study_tables,
    figures=papers_figures,
)

REPORTS: Mapping[ReportName, Report] = {"paper": PAPER, "pictures": PICTURES}
