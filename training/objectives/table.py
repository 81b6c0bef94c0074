"""The table of training methods."""

from training.objectives.adversarial import Adversarial
from training.objectives.consistency import Consistency
from training.objectives.denoise import Denoise
from training.objectives.gaussian import Gaussian
from training.objectives.macer import Macer
from training.objectives.objective import Objective
from training.objectives.simclr import SimClr
from training.objectives.smoothadv import SmoothAdv
from training.objectives.smoothmix import SmoothMix
from training.objectives.standard import Standard
from training.objectives.trades import Trades
from zoo.errors import UnknownNameError

OBJECTIVES: dict[str, type[Objective]] = {
    "adversarial": Adversarial,
    "consistency": Consistency,
    "denoise": Denoise,
    "gaussian": Gaussian,
    "macer": Macer,
    "simclr": SimClr,
    "smoothadv": SmoothAdv,
    "smoothmix": SmoothMix,
    "standard": Standard,
    "trades": Trades,
}


def find_objective(name: str) -> type[Objective]:
    """The method with this name. Raises: UnknownNameError, which lists the known names."""
    if name not in OBJECTIVES:
        raise UnknownNameError("objective", name, OBJECTIVES)
    return OBJECTIVES[name]


def objective_name(objective: Objective) -> str:
    """The name of a method in the table."""
    return next(name for name, kind in OBJECTIVES.items() if kind is type(objective))
