"""The claims of the pictures study. `python -m training.study.pictures.claims` prints docs/study/pictures/claims.md.

The claims and their rules were written before the study ran. Targets, methods and starting points have their names in
training/study/studies/pictures.yaml.
"""

from __future__ import annotations

import typer

from training.study.claim import Claim, ClaimSet, Rule
from training.study.evidence import ACR
from training.study.pictures.contrasts import above_chance, difference
from training.study.pictures.readings import (
    MEAN_ACCURACY,
    MEAN_CERTIFIED,
    MEAN_ROBUST,
    base_classifier,
    smoothed_classifier,
)

TARGETS = ("tuxpaint-10", "tuxpaint-20", "openclipart-10", "openclipart-40")
PHOTOGRAPHS, DRAWINGS = ("tuxpaint-20",), ("openclipart-10",)
CONSISTENCY = "consistency"
"""The method of fine-tuning, and the starting point that was trained by it."""

CERTIFIED = (
    Claim(
        section="3",
        statement="An adversarially trained network has no certified robustness: empirical is not certified.",
        comparison="mean per class CA after adversarial fine-tuning from imagenet, minus that of a constant classifier",
        rule=Rule("below", 5, "points"),
        estimate=above_chance(smoothed_classifier, MEAN_CERTIFIED, ("adversarial", "imagenet"), targets=PHOTOGRAPHS),
    ),
    *(
        Claim(
            section="4.3",
            statement=f"With few labels, {name} of the smoothed classifier is higher from a pre-trained start.",
            comparison=f"{words} after consistency fine-tuning: from imagenet minus from random",
            rule=Rule("above", 0, unit),
            estimate=difference(
                smoothed_classifier, metric, (CONSISTENCY, "imagenet"), (CONSISTENCY, "random"), targets=TARGETS
            ),
        )
        for name, words, metric, unit in (
            ("standard accuracy", "mean per class SA", MEAN_ACCURACY, "points"),
            ("certified accuracy", "mean per class CA", MEAN_CERTIFIED, "points"),
            ("ACR", "ACR", ACR, ""),
        )
    ),
    Claim(
        section="4.3",
        statement="With 20 labels per class of photographs, pre-training raises certified accuracy by at least 10 "
        "points.",
        comparison="mean per class CA on tuxpaint-20 after consistency fine-tuning: from imagenet minus from random",
        rule=Rule("above", 10, "points"),
        estimate=difference(
            smoothed_classifier, MEAN_CERTIFIED, (CONSISTENCY, "imagenet"), (CONSISTENCY, "random"), targets=PHOTOGRAPHS
        ),
    ),
    Claim(
        section="4.3",
        statement="Unlabelled pictures suffice for pre-training: certified accuracy is higher from simclr than from "
        "random weights.",
        comparison="mean per class CA on tuxpaint-20 after consistency fine-tuning: from simclr minus from random",
        rule=Rule("above", 0, "points"),
        estimate=difference(
            smoothed_classifier, MEAN_CERTIFIED, (CONSISTENCY, "simclr"), (CONSISTENCY, "random"), targets=PHOTOGRAPHS
        ),
    ),
)

EMPIRICAL = tuple(
    Claim(
        section="4.2",
        statement=f"With few labels, {name} of the base classifier is higher from a pre-trained start.",
        comparison=f"{words} after adversarial fine-tuning: from imagenet minus from random",
        rule=Rule("above", 0, "points"),
        estimate=difference(
            base_classifier, metric, ("adversarial", "imagenet"), ("adversarial", "random"), targets=TARGETS
        ),
    )
    for name, words, metric in (
        ("standard accuracy", "mean per class SA", MEAN_ACCURACY),
        ("robust accuracy", "mean per class RA", MEAN_ROBUST),
    )
)

ROBUST_PRETRAINING = tuple(
    Claim(
        section="5.1",
        statement=f"Robust pre-training is unnecessary: {words} is only slightly worse than consistency training on "
        "openclipart.",
        comparison="mean per class CA on tuxpaint-20 after consistency fine-tuning: from consistency minus from "
        f"{start}; the paper's largest difference is 4.6 points",
        rule=Rule("within", 10, "points"),
        estimate=difference(
            smoothed_classifier, MEAN_CERTIFIED, (CONSISTENCY, "consistency"), (CONSISTENCY, start), targets=PHOTOGRAPHS
        ),
    )
    for start, words in (
        ("standard", "standard training on openclipart"),
        ("imagenet", "standard training on ImageNet alone"),
    )
)

ROBUST_FINE_TUNING = (
    Claim(
        section="5.2",
        statement="Standard fine-tuning of all layers loses certified robustness: at least half of it.",
        comparison="mean per class CA from consistency: after standard fine-tuning minus half of that after "
        "consistency fine-tuning",
        rule=Rule("below", 0, "points"),
        estimate=difference(
            smoothed_classifier,
            MEAN_CERTIFIED,
            ("standard", "consistency"),
            (CONSISTENCY, "consistency"),
            targets=PHOTOGRAPHS,
            share=0.5,
        ),
    ),
    Claim(
        section="5.2",
        statement="Standard fine-tuning of the last layer is less certifiably robust than consistency fine-tuning.",
        comparison="mean per class CA from consistency: after standard fine-tuning of the last layer minus after "
        "consistency fine-tuning",
        rule=Rule("below", 0, "points"),
        estimate=difference(
            smoothed_classifier,
            MEAN_CERTIFIED,
            ("head", "consistency"),
            (CONSISTENCY, "consistency"),
            targets=PHOTOGRAPHS,
        ),
    ),
    Claim(
        section="5.2",
        statement="The last layer, fine-tuned by standard training on consistency features, has trivial accuracy when "
        "smoothed (Table 7).",
        comparison="mean per class SA of the smoothed classifier, minus that of a constant classifier",
        rule=Rule("below", 5, "points"),
        estimate=above_chance(smoothed_classifier, MEAN_ACCURACY, ("head", "consistency"), targets=PHOTOGRAPHS),
    ),
    Claim(
        section="none",
        statement="With few labels, the last layer alone is enough if it is trained under noise: all layers add "
        "little.",
        comparison="mean per class CA from imagenet: after consistency fine-tuning minus after training the last layer "
        "under noise",
        rule=Rule("within", 10, "points"),
        estimate=difference(
            smoothed_classifier,
            MEAN_CERTIFIED,
            (CONSISTENCY, "imagenet"),
            ("noisy-head", "imagenet"),
            targets=PHOTOGRAPHS,
        ),
    ),
)

DENOISED = (
    Claim(
        section="none",
        statement="A denoiser trained without labels gives an unchanged standard classifier certificates (Salman et "
        "al. 2020).",
        comparison="mean per class CA on openclipart-10: of the classifier behind the denoiser minus of the classifier "
        "alone",
        rule=Rule("above", 0, "points"),
        estimate=difference(
            smoothed_classifier, MEAN_CERTIFIED, ("denoise", "classifier"), ("standard", "classifier"), targets=DRAWINGS
        ),
    ),
    Claim(
        section="none",
        statement="With 10 labels per class, the standard classifier behind the denoiser is better than consistency "
        "fine-tuning with the same labels.",
        comparison="mean per class CA on openclipart-10: of the classifier behind the denoiser minus after consistency "
        "fine-tuning from imagenet",
        rule=Rule("above", 0, "points"),
        estimate=difference(
            smoothed_classifier,
            MEAN_CERTIFIED,
            ("denoise", "classifier"),
            (CONSISTENCY, "imagenet"),
            targets=DRAWINGS,
        ),
    ),
)

NOT_TESTABLE = tuple(
    Claim(section=section, statement=statement, comparison=reason)
    for section, statement, reason in (
        ("4.2, 4.3", "Improvement in robustness follows that in SA linearly (Figures 2, 3).",
         "Four targets of two data sets determine no line"),
        ("4.2, 4.3", "Pre-training helps on every task, for any number of labels.",
         "Three of the four targets have one seed from random weights, and none has 500 or more images per class"),
        ("4.1", "AutoAttack lowers RA by 0.71 points against AutoPGD alone.",
         "The study runs APGD only; `zoo evaluate --attack autoattack` runs AutoAttack"),
        ("4.1", "A larger epsilon only lowers performance.", "The study uses one epsilon"),
        ("5.1", "Robust pre-training is unnecessary for empirical robustness (Table 6).",
         "No starting point is trained adversarially"),
        ("5.2", "Standard fine-tuning of the last layer on adversarially trained features keeps empirical robustness "
         "(Shafahi et al. 2019b).", "No starting point is trained adversarially"),
        ("5.2", "At sigma 0 the CA and ACR of the last layer are 0 (Table 7).",
         "This follows from Equation 2 for every network"),
        ("6", "All claims hold for ResNet-50, robust pre-training on ImageNet and the twelve tasks at 224 pixels.",
         "`zoo study plan paper` lists the data and the cost"),
    )
)  # fmt: skip

CLAIMS = {
    f"P{number}": claim
    for number, claim in enumerate(
        (*CERTIFIED, *EMPIRICAL, *ROBUST_PRETRAINING, *ROBUST_FINE_TUNING, *DENOISED, *NOT_TESTABLE), 1
    )
}

CLAIM_SET = ClaimSet(
    claims=CLAIMS,
    title="The claims",
    statement="statement",
    head="""# The claims of the pictures study and their decision rules

`python -m training.study.pictures.claims` prints this file; `zoo study collect pictures` gives the answers. Estimates
and rules were fixed before the study ran. The section is the paper's; claims of section "none" are not the paper's.

- A pair is a target and a seed. Both networks of a difference have the same labelled images and the same test images.
  Intervals are Student's 95 % intervals over the pairs that have both networks. A claim is undecided if the limit is
  inside the interval or there are fewer than two pairs. Targets of one data set share test images, and all seeds share
  the starting points that openclipart trained, so the intervals are somewhat too narrow.
- SA, RA, CA and ACR are standard, robust and certified accuracy and average certified radius. CA is at radius 0.25, and
  RA is under the attack at epsilon 0.5, both for pixels in [0, 1]. Means per class weigh every class equally, because a
  classifier that always answers the largest class is right on a third of the pictures.
- The limit of 10 points in "only slightly" is wider than in the first study: with three seeds and 130 test pictures, an
  interval of 5 points is not to be expected.
- About a dozen claims are decided at 95 %, so an answer may be wrong by chance.""",
    note="Brackets contain 95 % intervals over pairs of target and seed. claims.md lists the rules, which were fixed "
    "before the study ran.",
)


if __name__ == "__main__":
    typer.echo(CLAIM_SET.document)
