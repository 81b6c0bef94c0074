"""The paper's claims, section by section. Written before the study ran; `python -m training.study.claims` prints
docs/study/claims.md.

Starting points go by their names in the study file: random, standard, simclr, adversarial, consistency; and so do the
methods adversarial, consistency, standard, head and head-updating.
"""

from __future__ import annotations

import typer

from training.study.claim import Claim
from training.study.claims_section_5 import SECTION_5_1, SECTION_5_2
from training.study.claims_sections_3_and_4 import SECTION_3, SECTION_4
from training.study.rendering import TextTable

OTHERS = (
    Claim(
        section="4.1",
        statement="AutoAttack lowers RA by 0.71 points against AutoPGD alone.",
        comparison="The study runs APGD only; `zoo evaluate --attack autoattack` measures the rest",
    ),
    Claim(
        section="4.1",
        statement="Larger epsilon only lowers performance.",
        comparison="One epsilon is studied",
    ),
    Claim(
        section="6",
        statement="All of this holds for ResNet-50, ImageNet and the twelve tasks at 224 pixels.",
        comparison="Another study file, and GPUs, ask that",
    ),
)

CLAIMS: dict[str, Claim] = {
    f"C{number}": claim for number, claim in enumerate((*SECTION_3, *SECTION_4, *SECTION_5_1, *SECTION_5_2, *OTHERS), 1)
}

HEAD = """# The paper's claims, and what decides them

Printed by `python -m training.study.claims`, before the study ran. `zoo study collect` gives the answers.

- Intervals are at 95 %: Student's over seeds (paired: seed s fine-tunes from what seed s pre-trained), or over tasks
  where it says so. A limit inside the interval leaves a claim undecided, and so do fewer than two seeds.
- SA, RA, CA, ACR: standard, robust and certified accuracy, average certified radius. CA is at radius 0.5, RA under the
  attack at epsilon 0.5, both on pixels in [0, 1].
- Several dozen claims are decided at 95 %: a few answers will be wrong by chance."""


def claims_table() -> TextTable:
    """The claims with what decides them, without answers."""
    return TextTable(
        title="Claims",
        columns=("claim", "section", "the paper says", "what answers it", "when"),
        rows=tuple(
            (
                name,
                claim.section,
                claim.statement,
                claim.comparison,
                claim.rule.words if claim.rule else "not askable here",
            )
            for name, claim in CLAIMS.items()
        ),
    )


if __name__ == "__main__":
    typer.echo(f"{HEAD}\n\n{claims_table().markdown}")
