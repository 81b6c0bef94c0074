"""The claims of section 3 (empirical and certified robustness differ), 4.2 and 4.3 (effects of pre-training)."""

from __future__ import annotations

from collections.abc import Iterator

from training.study.claim import Claim, Rule
from training.study.contrasts import (
    FEW,
    MANY,
    excess,
    improvement,
    least_improvement,
    mean_over_seeds,
    pretrained_metric,
    r_squared,
)
from training.study.evidence import ACR, CERTIFIED_ACCURACY, NAMES, ROBUST_ACCURACY, certified_at_radii, under_noise
from training.study.long_table import STANDARD_ACCURACY

SECTION_3 = (
    Claim(
        section="3",
        statement="A network trained adversarially loses accuracy as Gaussian noise grows (Table 2).",
        comparison="accuracy at sigma 0.001 minus accuracy at sigma 0.5, of the adversarial source network",
        rule=Rule("above", 0, "points"),
        estimate=mean_over_seeds(pretrained_metric("adversarial", under_noise, lambda at: at["0.001"] - at["0.5"])),
    ),
    Claim(
        section="3",
        statement="A network trained by consistency is accurate only at the sigma of its training (Table 2).",
        comparison="accuracy at sigma 0.5 minus the best accuracy at 0.001, 0.01 and 0.1, of the consistency source "
        "network",
        rule=Rule("above", 0, "points"),
        estimate=mean_over_seeds(
            pretrained_metric(
                "consistency", under_noise, lambda at: at["0.5"] - max(at[sigma] for sigma in ("0.001", "0.01", "0.1"))
            )
        ),
    ),
    Claim(
        section="3",
        statement="Smoothed at sigma 0.01, the adversarially trained network has no certified robustness (Table 3).",
        comparison="its certified accuracy at 0.5. It must be 0: at sigma 0.01 no radius exceeds 0.039, even if all of "
        "100,000 draws agree",
        rule=Rule("below", 1, "%"),
        estimate=mean_over_seeds(pretrained_metric("adversarial", certified_at_radii(0.01), lambda at: at["0.5"])),
    ),
    Claim(
        section="3",
        statement="Adversarial training, not the small sigma, is the cause: the adversarially trained network has no "
        "certified robustness at sigma 0.5 either.",
        comparison="certified accuracy at 0.5 of the adversarial source network smoothed at sigma 0.5, where the paper "
        "measured 0.1 % accuracy under noise",
        rule=Rule("below", 5, "%"),
        estimate=mean_over_seeds(pretrained_metric("adversarial", certified_at_radii(0.5), lambda at: at["0.5"])),
    ),
    Claim(
        section="3",
        statement="Smoothed at sigma 0.5, the consistency network has certified accuracy at 0.5 and 1 (Table 3).",
        comparison="its certified accuracy at radius 1",
        rule=Rule("above", 1, "%"),
        estimate=mean_over_seeds(pretrained_metric("consistency", certified_at_radii(0.5), lambda at: at["1"])),
    ),
    Claim(
        section="3",
        statement="The consistency network also has certified accuracy at 1.5 (Table 3).",
        comparison="With n = 1,000 and alpha = 0.001 no radius at sigma 0.5 exceeds 1.24",
    ),
)


def _section_4(section: str, kind: str, supervised: str, metrics: tuple[str, ...]) -> Iterator[Claim]:
    """The claims of section 4.2 or 4.3, which differ in their measures of robustness."""
    for start in (supervised, "simclr"):
        for metric in (STANDARD_ACCURACY, *metrics):
            yield Claim(
                section=section,
                statement=f"{NAMES[metric]} is better from {start} than from random weights, on average over tasks.",
                comparison=f"mean relative improvement in {NAMES[metric]} from {start} over random",
                rule=Rule("above", 0, "%"),
                estimate=mean_over_seeds(improvement(kind, start, metric)),
            )
    for tasks, representation, words in (("many", "well", f"at least {MANY}"), ("few", "under", f"at most {FEW}")):
        for metric in (STANDARD_ACCURACY, metrics[0]):
            yield Claim(
                section=section,
                statement=f"{NAMES[metric]} is better from {supervised} than from random weights on "
                f"{representation}-represented tasks.",
                comparison=f"mean relative improvement in {NAMES[metric]} over tasks of {words} training images per "
                "class",
                rule=Rule("above", 0, "%"),
                estimate=mean_over_seeds(improvement(kind, supervised, metric, tasks=tasks)),
            )
    for start in (supervised, "simclr"):
        yield Claim(
            section=section,
            statement=f"{NAMES[metrics[0]]} is better from {start} on every task, for any number of labels "
            "(captions of Tables 4 and 5, section 6).",
            comparison="the smallest relative improvement of any task",
            rule=Rule("above", 0, "%"),
            estimate=mean_over_seeds(least_improvement(kind, start, metrics[0])),
        )
        for metric in metrics:
            yield Claim(
                section=section,
                statement=f"Improvement in {NAMES[metric]} follows that in SA linearly, from {start} (Figures 2, 3).",
                comparison="R^2 of the line through one point per task, interval by bootstrap over tasks",
                rule=Rule("above", 0.5),
                estimate=r_squared(kind, start, metric),
            )
    yield Claim(
        section=section,
        statement=f"{NAMES[metrics[0]]} rises with SA and is not transferred from the source: a robust source improves "
        "it no more than SA explains.",
        comparison=f"improvement in {NAMES[metrics[0]]} minus improvement in SA, from {supervised}, minus the same "
        "difference from simclr (5.3 points in the paper's Table 4, 1.2 in its Table 5)",
        rule=Rule("within", 5, "points"),
        estimate=mean_over_seeds(excess(kind, supervised, "simclr", metrics[0])),
    )


SECTION_4 = (
    *_section_4("4.2", "empirical", "adversarial", (ROBUST_ACCURACY,)),
    *_section_4("4.3", "certified", "consistency", (CERTIFIED_ACCURACY, ACR)),
)
