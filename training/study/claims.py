"""The paper's claims, section by section. `python -m training.study.claims` prints docs/study/claims.md.

The claims and their rules were written before the study ran, except C48, which was added after one of its results had
been seen. Starting points have their names in the study file: random, standard, simclr, adversarial, consistency. So do
the methods: adversarial, consistency, standard, head and head-updating.
"""

from __future__ import annotations

import typer

from training.study.claim import Claim, ClaimSet
from training.study.claims_section_5 import SECTION_5_1, SECTION_5_2
from training.study.claims_sections_3_and_4 import SECTION_3, SECTION_4

OTHERS = (
    Claim(
        section="4.1",
        statement="AutoAttack lowers RA by 0.71 points against AutoPGD alone.",
        comparison="The study runs APGD only; `zoo evaluate --attack autoattack` runs AutoAttack",
    ),
    Claim(
        section="4.1",
        statement="A larger epsilon only lowers performance.",
        comparison="The study uses one epsilon",
    ),
    Claim(
        section="6",
        statement="All claims hold for ResNet-50, ImageNet and the twelve tasks at 224 pixels.",
        comparison="This needs another study file and GPUs",
    ),
)

CLAIMS = {
    f"C{number}": claim for number, claim in enumerate((*SECTION_3, *SECTION_4, *SECTION_5_1, *SECTION_5_2, *OTHERS), 1)
}

HEAD = """# The paper's claims and their decision rules

`python -m training.study.claims` prints this file; `zoo study collect` gives the answers. The estimates and rules were
fixed before the study ran, except those of C48, which was added after one of its results had been seen.

- Intervals are at 95 %. They are Student's intervals over seeds (paired: seed s fine-tunes the network that seed s
  pre-trained), or intervals over tasks where stated. A claim is undecided if the limit is inside the interval or there
  are fewer than two seeds.
- SA, RA, CA and ACR are standard, robust and certified accuracy and average certified radius. CA is at radius 0.5, and
  RA is under the attack at epsilon 0.5, both for pixels in [0, 1].
- Several dozen claims are decided at 95 %, so a few answers will be wrong by chance."""


CLAIM_SET = ClaimSet(
    claims=CLAIMS,
    title="The paper's claims",
    statement="statement in the paper",
    head=HEAD,
    note="Brackets contain 95 % intervals. claims.md lists the rules. They were fixed before the study ran, except "
    "that of C48. Several dozen claims are decided at 95 %, so a few answers will be wrong by chance.",
)


if __name__ == "__main__":
    typer.echo(CLAIM_SET.document)
