"""The claims of section 5: whether pre-training and fine-tuning must be robust."""

from __future__ import annotations

from training.study.claim import Claim, Rule
from training.study.contrasts import (
    difference,
    fine_tuned_contrast,
    fine_tuned_metric,
    mean_over_seeds,
    train_seconds_ratio,
)
from training.study.evidence import CERTIFIED_ACCURACY as CA
from training.study.evidence import NAMES, certified, empirical, smoothed_at
from training.study.evidence import ROBUST_ACCURACY as RA
from training.study.long_table import STANDARD_ACCURACY as SA

SECTION_5_1 = tuple(
    Claim(
        section="5.1",
        statement=f"Robust pre-training is unnecessary: {robust} pre-training is only slightly better than {other} "
        f"in {NAMES[metric]} (Table 6).",
        comparison=f"{NAMES[metric]} from {robust} minus {NAMES[metric]} from {other}, mean over tasks; the paper's "
        "largest difference is 4.6 points",
        rule=Rule("within", 5, "points"),
        estimate=mean_over_seeds(difference(kind, robust, other, metric)),
    )
    for kind, robust, metric in (("empirical", "adversarial", RA), ("certified", "consistency", CA))
    for other in ("standard", "simclr")
)

SECTION_5_2 = (
    Claim(
        section="5",
        statement="Robust training costs more than standard training.",
        comparison="seconds per image and epoch: adversarial pre-training divided by standard pre-training",
        rule=Rule("above", 1),
        estimate=mean_over_seeds(train_seconds_ratio("adversarial", "standard")),
    ),
    Claim(
        section="5.2",
        statement="Standard fine-tuning of all layers loses empirical robustness.",
        comparison="RA after standard fine-tuning divided by RA after adversarial fine-tuning, both from the "
        "adversarial network",
        rule=Rule("below", 0.5),
        estimate=mean_over_seeds(
            fine_tuned_contrast(
                empirical,
                RA,
                ("standard-fine-tuning", "standard", "adversarial"),
                ("empirical", "adversarial", "adversarial"),
                lambda this, that: this / that,
            )
        ),
    ),
    Claim(
        section="5.2",
        statement="Standard fine-tuning of all layers loses certified robustness.",
        comparison="CA at 0.5 after standard fine-tuning divided by CA at 0.5 after consistency fine-tuning, both from "
        "the consistency network",
        rule=Rule("below", 0.5),
        estimate=mean_over_seeds(
            fine_tuned_contrast(
                certified,
                CA,
                ("standard-fine-tuning", "standard", "consistency"),
                ("certified", "consistency", "consistency"),
                lambda this, that: this / that,
            )
        ),
    ),
    Claim(
        section="5.2",
        statement="Standard fine-tuning of the last layer on adversarially trained features keeps empirical robustness "
        "(Shafahi et al. 2019b).",
        comparison="RA after standard fine-tuning of the last layer only minus RA after standard fine-tuning of all "
        "layers",
        rule=Rule("above", 0, "points"),
        estimate=mean_over_seeds(
            fine_tuned_contrast(
                empirical,
                RA,
                ("standard-fine-tuning", "head", "adversarial"),
                ("standard-fine-tuning", "standard", "adversarial"),
                lambda this, that: this - that,
            )
        ),
    ),
    Claim(
        section="5.2",
        statement="Standard fine-tuning of the last layer is less robust than adversarial fine-tuning.",
        comparison="RA after standard fine-tuning of the last layer only minus RA after adversarial fine-tuning of all "
        "layers",
        rule=Rule("below", 0, "points"),
        estimate=mean_over_seeds(
            fine_tuned_contrast(
                empirical,
                RA,
                ("standard-fine-tuning", "head", "adversarial"),
                ("empirical", "adversarial", "adversarial"),
                lambda this, that: this - that,
            )
        ),
    ),
    Claim(
        section="5.2",
        statement="The last layer, fine-tuned by standard training on consistency features, has trivial SA when "
        "smoothed at sigma 0.5 (Table 7).",
        comparison="SA minus the SA of guessing",
        rule=Rule("below", 5, "points"),
        estimate=mean_over_seeds(
            fine_tuned_metric(smoothed_at(0.5), SA, ("last-layer", "head", "consistency"), above_chance=True)
        ),
    ),
    Claim(
        section="5.2",
        statement="The same last layer has trivial certified accuracy (Table 7).",
        comparison="CA at 0.5",
        rule=Rule("below", 10, "%"),
        estimate=mean_over_seeds(fine_tuned_metric(smoothed_at(0.5), CA, ("last-layer", "head", "consistency"))),
    ),
    Claim(
        section="5.2",
        statement="The SA of the same last layer is trivial if the batch normalization of the frozen layers keeps "
        "updating on noiseless batches, as in MadryLab's library (our reading; the paper does not say).",
        comparison="SA of the method head-updating minus the SA of guessing",
        rule=Rule("below", 5, "points"),
        estimate=mean_over_seeds(
            fine_tuned_metric(
                smoothed_at(0.5), SA, ("standard-fine-tuning", "head-updating", "consistency"), above_chance=True
            )
        ),
    ),
    Claim(
        section="5.2",
        statement="Standard fine-tuning of the last layer is less certifiably robust than consistency fine-tuning.",
        comparison="CA at 0.5 after standard fine-tuning of the last layer only minus CA at 0.5 after consistency "
        "fine-tuning of all layers",
        rule=Rule("below", 0, "points"),
        estimate=mean_over_seeds(
            fine_tuned_contrast(
                certified,
                CA,
                ("last-layer", "head", "consistency"),
                ("certified", "consistency", "consistency"),
                lambda this, that: this - that,
            )
        ),
    ),
    Claim(
        section="5.2",
        statement="At sigma 0 the SA of the same last layer is restored (Table 7).",
        comparison="SA at sigma 0, which equals the SA of the base classifier",
        rule=Rule("above", 50, "%"),
        estimate=mean_over_seeds(fine_tuned_metric(smoothed_at(0.0), SA, ("last-layer", "head", "consistency"))),
    ),
    Claim(
        section="5.2",
        statement="At sigma 0 the CA and ACR of the same last layer are 0 (Table 7).",
        comparison="This follows from Equation 2 for every network",
    ),
)
