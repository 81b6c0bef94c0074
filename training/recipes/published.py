"""The settings that each method's authors published for CIFAR-10 and ImageNet: one row per setting, with its source.

Differences from the published settings:

- The network is always ResNet-50. On CIFAR-10 the authors use ResNet-110 (TRADES: WideResNet-34-10; SimCLR's command:
  ResNet-18), which this zoo does not have.
- The authors pad 32x32 pictures of CIFAR-10 by 4, shift and flip them. The recipes do the same, although the task's
  default upscales to 224.
- `batch_size` counts distinct images. Some published codes split a loader batch of B into m chunks and make m noisy
  copies of each image, so one step sees B / m images: 256 with m = 2 is 128 here, with the same steps per epoch.
- Radii published in 1/256 are converted to the [0, 1] scale: 255 is 0.996, 512 is 2.0.
- Milestones follow the papers. The codes of Consistency and SmoothMix drop one epoch later (51, 101) and MACER's code
  one epoch earlier (199, 399), since their schedulers step after, or twice before, the first epoch.
- A tenth of the training images is held out for validation; the published codes hold out none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.objectives import Objective
from training.objectives.adversarial import Adversarial
from training.objectives.consistency import Consistency
from training.objectives.gaussian import Gaussian
from training.objectives.macer import Macer
from training.objectives.simclr import SimClr
from training.objectives.smoothadv import SmoothAdv
from training.objectives.smoothmix import SmoothMix
from training.objectives.standard import Standard
from training.objectives.table import objective_name
from training.objectives.trades import Trades
from training.recipe import Schedule, Sgd, TrainingRecipe

BY_30 = Schedule(name="steps", milestones=(30, 60))
BY_50 = Schedule(name="steps", milestones=(50, 100))
BY_50_LONG = Schedule(name="steps", milestones=(50, 100, 150))
BY_200 = Schedule(name="steps", milestones=(200, 400))
# The script drops the rate at epoch 75, counted from 1, and ends after epoch 76.
TRADES_STEPS = Schedule(name="steps", milestones=(74,))
RISE_AND_FALL = Schedule(name="cosine", warmup_epochs=10.0)

SGD = Sgd(lr=0.1, momentum=0.9, weight_decay=1e-4)
MADRY_CIFAR10 = Sgd(lr=0.1, momentum=0.9, weight_decay=5e-4)
MACER_SGD = Sgd(lr=0.01, momentum=0.9, weight_decay=5e-4)
TRADES_SGD = Sgd(lr=0.1, momentum=0.9, weight_decay=2e-4)
# Published rates of 1.0 and 0.3 per 256 images, scaled to batches of 512 and 4096.
SIMCLR_CIFAR10 = Sgd(lr=2.0, momentum=0.9, weight_decay=1e-6, trust_coefficient=0.001)
SIMCLR_IMAGENET = Sgd(lr=4.8, momentum=0.9, weight_decay=1e-6, trust_coefficient=0.001)

# Salman et al. subtract the mean without dividing (InputCenterLayer); MACER and TRADES do neither.
CENTERED_CIFAR10 = "mean=0.4914,0.4822,0.4465;std=1,1,1"
CENTERED_IMAGENET = "center-imagenet"

COHEN = "Cohen et al. 2019, experiments.MD: batch 400, the code's 90 epochs"
JEONG_CIFAR10 = "Jeong and Shin 2020: 256 = 2 x 128, lambda by sigma"
JEONG_IMAGENET = "Jeong and Shin 2020: 200 = 2 x 100, lambda and eta by sigma"
SALMAN_CIFAR10 = "Salman et al. 2019, best row of this sigma: 256 = m x batch, epsilon"
SALMAN_IMAGENET = (
    "Salman et al. 2019, highest ACR of this sigma in their logs; batch and warm-up from the code: epsilon"
)
ZHAI = "Zhai et al. 2020, main.py: k 16, beta 16, gamma 8"
MIX = "Jeong et al. 2021, EXPERIMENTS.MD: 256 = 2 x 128"
MIX_ONE_STEP = f"{MIX}; of its two settings the one in CAT-RS's EXPERIMENTS.MD, mix_step 1"
MADRY = "MadryLab robustness, defaults.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSetting:
    """One row; other fields of the recipe have the defaults of `TrainingRecipe`."""

    data: Literal["cifar10", "imagenet"]
    objective: Objective
    epochs: int
    batch_size: int
    optimizer: Sgd
    schedule: Schedule
    source: str
    normalization: str = "task"

    @property
    def name(self) -> str:
        """The name for `--recipe`; methods with the same data and noise level share it."""
        sigma = self.objective.sigma
        return self.data if sigma is None else f"{self.data}-s{round(100 * sigma)}"

    def recipe(self) -> TrainingRecipe:
        """The complete recipe of the setting."""
        is_small = self.data == "cifar10"
        return TrainingRecipe(
            objective=self.objective,
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            schedule=self.schedule,
            validation_share=0.1 if self.objective.learns_classes else 0.0,
            image_size=32 if is_small else None,
            resize=32 if is_small else None,
            augmentation="shift-flip" if is_small else "task",
            normalization=self.normalization,
        )


# fmt: off
PUBLISHED: tuple[PublishedSetting, ...] = (
    PublishedSetting(
        data="cifar10", objective=Standard(),
        epochs=150, batch_size=128, optimizer=MADRY_CIFAR10, schedule=BY_50, source=MADRY,
    ),
    PublishedSetting(
        data="imagenet", objective=Standard(),
        epochs=200, batch_size=256, optimizer=SGD, schedule=BY_50_LONG, source=MADRY,
    ),
    PublishedSetting(
        data="cifar10", objective=Adversarial(epsilon=0.5, num_steps=7, relative_step_size=2.5),
        epochs=150, batch_size=128, optimizer=MADRY_CIFAR10, schedule=BY_50,
        source=f"{MADRY}; epsilon of a released network; step size not stated, so README's for evaluation",
    ),
    PublishedSetting(
        data="imagenet", objective=Adversarial(epsilon=3.0, num_steps=7, relative_step_size=2.5),
        epochs=200, batch_size=256, optimizer=SGD, schedule=BY_50_LONG,
        source=f"{MADRY}; epsilon of a released network; step size not stated, so README's for evaluation",
    ),
    PublishedSetting(
        data="cifar10",
        objective=Trades(norm="linf", epsilon=0.031, num_steps=10, relative_step_size=10 * 0.007 / 0.031, beta=6.0),
        epochs=76, batch_size=128, optimizer=TRADES_SGD, schedule=TRADES_STEPS, normalization="none",
        source="Zhang et al. 2019, train_trades_cifar10.py: steps of 0.007",
    ),
    PublishedSetting(
        data="cifar10", objective=SimClr(temperature=0.5),
        epochs=1000, batch_size=512, optimizer=SIMCLR_CIFAR10, schedule=RISE_AND_FALL,
        source="Chen et al. 2020, README: 1.0 x 512 / 256, LARS; its half-strength jitter is not used",
    ),
    PublishedSetting(
        data="imagenet", objective=SimClr(temperature=0.1),
        epochs=100, batch_size=4096, optimizer=SIMCLR_IMAGENET, schedule=RISE_AND_FALL,
        source="Chen et al. 2020, README, and VISSL's simclr_8node_resnet.yaml: 0.3 x 4096 / 256, LARS",
    ),
    *(
        PublishedSetting(
            data="cifar10", objective=Gaussian(sigma=sigma),
            epochs=90, batch_size=400, optimizer=SGD, schedule=BY_30, source=COHEN,
        )
        for sigma in (0.25, 0.5, 1.0)
    ),
    *(
        PublishedSetting(
            data="imagenet", objective=Gaussian(sigma=sigma),
            epochs=90, batch_size=400, optimizer=SGD, schedule=BY_30, source=COHEN,
        )
        for sigma in (0.25, 0.5, 1.0)
    ),
    *(
        PublishedSetting(
            data="cifar10", objective=Consistency(sigma=sigma, m=2, lbd=lbd, eta=0.5),
            epochs=150, batch_size=128, optimizer=SGD, schedule=BY_50, source=JEONG_CIFAR10,
        )
        for sigma, lbd in ((0.25, 20.0), (0.5, 10.0), (1.0, 10.0))
    ),
    *(
        PublishedSetting(
            data="imagenet", objective=Consistency(sigma=sigma, m=2, lbd=lbd, eta=eta),
            epochs=90, batch_size=100, optimizer=SGD, schedule=BY_30, source=JEONG_IMAGENET,
        )
        for sigma, lbd, eta in ((0.25, 10.0, 0.5), (0.5, 5.0, 0.5), (1.0, 5.0, 0.1))
    ),
    PublishedSetting(
        data="cifar10", objective=SmoothAdv(sigma=0.25, m=8, epsilon=255 / 256, num_steps=10, warmup_epochs=10),
        epochs=150, batch_size=32, optimizer=SGD, schedule=BY_50, normalization=CENTERED_CIFAR10,
        source=f"{SALMAN_CIFAR10} 255/256",
    ),
    PublishedSetting(
        data="cifar10", objective=SmoothAdv(sigma=0.5, m=2, epsilon=512 / 256, num_steps=2, warmup_epochs=10),
        epochs=150, batch_size=128, optimizer=SGD, schedule=BY_50, normalization=CENTERED_CIFAR10,
        source=f"{SALMAN_CIFAR10} 512/256",
    ),
    PublishedSetting(
        data="cifar10", objective=SmoothAdv(sigma=1.0, m=2, epsilon=512 / 256, num_steps=10, warmup_epochs=10),
        epochs=150, batch_size=128, optimizer=SGD, schedule=BY_50, normalization=CENTERED_CIFAR10,
        source=f"{SALMAN_CIFAR10} 512/256",
    ),
    PublishedSetting(
        data="imagenet",
        objective=SmoothAdv(sigma=0.25, m=1, attack="ddn", epsilon=512 / 256, num_steps=2, warmup_epochs=1),
        epochs=90, batch_size=256, optimizer=SGD, schedule=BY_30, normalization=CENTERED_IMAGENET,
        source=f"{SALMAN_IMAGENET} 512/256",
    ),
    PublishedSetting(
        data="imagenet", objective=SmoothAdv(sigma=0.5, m=1, epsilon=255 / 256, num_steps=1, warmup_epochs=1),
        epochs=90, batch_size=256, optimizer=SGD, schedule=BY_30, normalization=CENTERED_IMAGENET,
        source=f"{SALMAN_IMAGENET} 255/256",
    ),
    PublishedSetting(
        data="imagenet", objective=SmoothAdv(sigma=1.0, m=1, epsilon=512 / 256, num_steps=1, warmup_epochs=1),
        epochs=90, batch_size=256, optimizer=SGD, schedule=BY_30, normalization=CENTERED_IMAGENET,
        source=f"{SALMAN_IMAGENET} 512/256",
    ),
    PublishedSetting(
        data="cifar10", objective=Macer(sigma=0.25, m=16, lbd=12.0, beta=16.0, gamma=8.0),
        epochs=440, batch_size=64, optimizer=MACER_SGD, schedule=BY_200, normalization="none",
        source=f"{ZHAI}, lambda 12",
    ),
    PublishedSetting(
        data="cifar10", objective=Macer(sigma=0.5, m=16, lbd=4.0, beta=16.0, gamma=8.0),
        epochs=440, batch_size=64, optimizer=MACER_SGD, schedule=BY_200, normalization="none",
        source=f"{ZHAI}; lambda 4 in the log names of CAT-RS's EXPERIMENTS.MD, 6 in its commands",
    ),
    PublishedSetting(
        data="cifar10", objective=Macer(sigma=1.0, m=16, lbd=12.0, beta=16.0, gamma=8.0, deferred_epochs=200.0),
        epochs=440, batch_size=64, optimizer=MACER_SGD, schedule=BY_200, normalization="none",
        source=f"{ZHAI}; lambda 12 only after the first drop (deferred), as in CAT-RS's EXPERIMENTS.MD",
    ),
    PublishedSetting(
        data="cifar10", objective=SmoothMix(sigma=0.25, m=2, num_steps=4, alpha=0.5, eta=5.0),
        epochs=150, batch_size=128, optimizer=SGD, schedule=BY_50, source=MIX,
    ),
    PublishedSetting(
        data="cifar10", objective=SmoothMix(sigma=0.5, m=2, num_steps=4, alpha=1.0, eta=5.0, one_step_adversary=True),
        epochs=150, batch_size=128, optimizer=SGD, schedule=BY_50, source=MIX_ONE_STEP,
    ),
    PublishedSetting(
        data="cifar10", objective=SmoothMix(sigma=1.0, m=2, num_steps=4, alpha=2.0, eta=5.0, one_step_adversary=True),
        epochs=150, batch_size=128, optimizer=SGD, schedule=BY_50, source=MIX_ONE_STEP,
    ),
)
# fmt: on

LEFT_OUT: dict[tuple[str, str], str] = {
    ("macer", "imagenet"): "its code has no ImageNet settings, and we could not check those of its paper",
    ("smoothmix", "imagenet"): "its authors released ImageNet checkpoints but not their hyper-parameters",
    ("trades", "imagenet"): "the paper trains on MNIST and CIFAR-10 only",
}
"""The reason why a method has no row for a data set."""


def published_settings(objective: str) -> dict[str, PublishedSetting]:
    """The rows of the named method, by recipe name."""
    return {row.name: row for row in PUBLISHED if objective_name(row.objective) == objective}
