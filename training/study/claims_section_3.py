"""Section 3: empirical is not the same as certified."""

from __future__ import annotations

from training.study.claim import Claim, Rule
from training.study.contrasts import of_pretrained, over_seeds
from training.study.evidence import certified_at_radii, under_noise

SECTION_3 = (
    Claim(
        section="3",
        statement="A network trained adversarially loses accuracy as Gaussian noise grows (Table 2).",
        comparison="accuracy at sigma 0.001 less that at 0.5, of the adversarial source network",
        rule=Rule("above", 0, "points"),
        estimate=over_seeds(of_pretrained("adversarial", under_noise, lambda at: at["0.001"] - at["0.5"])),
    ),
    Claim(
        section="3",
        statement="Consistency training does well only at the sigma of its training (Table 2).",
        comparison="accuracy at sigma 0.5 less the best at 0.001, 0.01 and 0.1, of the consistency source network",
        rule=Rule("above", 0, "points"),
        estimate=over_seeds(
            of_pretrained(
                "consistency", under_noise, lambda at: at["0.5"] - max(at[each] for each in ("0.001", "0.01", "0.1"))
            )
        ),
    ),
    Claim(
        section="3",
        statement="Smoothed at sigma 0.01, the adversarially trained network has no certified robustness (Table 3).",
        comparison="its certified accuracy at 0.5. It cannot be otherwise: at sigma 0.01 no radius exceeds 0.039, even "
        "if all of 100,000 draws agree",
        rule=Rule("below", 1, "%"),
        estimate=over_seeds(of_pretrained("adversarial", certified_at_radii(0.01), lambda at: at["0.5"])),
    ),
    Claim(
        section="3",
        statement="That is a property of adversarial training, not of the sigma: it has none at sigma 0.5 either.",
        comparison="certified accuracy at 0.5 of the adversarial source network smoothed at sigma 0.5, where the paper "
        "measured 0.1 % accuracy under noise",
        rule=Rule("below", 5, "%"),
        estimate=over_seeds(of_pretrained("adversarial", certified_at_radii(0.5), lambda at: at["0.5"])),
    ),
    Claim(
        section="3",
        statement="Smoothed at sigma 0.5, the consistency network has certified accuracy at 0.5 and 1 (Table 3).",
        comparison="its certified accuracy at radius 1",
        rule=Rule("above", 1, "%"),
        estimate=over_seeds(of_pretrained("consistency", certified_at_radii(0.5), lambda at: at["1"])),
    ),
    Claim(
        section="3",
        statement="It also has certified accuracy at 1.5 (Table 3).",
        comparison="With n = 1,000 and alpha = 0.001 no radius at sigma 0.5 exceeds 1.24",
    ),
)
