"""The table of training methods."""

from training.objectives.consistency import Consistency
from training.objectives.gaussian import Gaussian
from training.objectives.objective import Objective
from training.objectives.standard import Standard
from zoo.errors import UnknownNameError

OBJECTIVES: dict[str, type[Objective]] = {
    "consistency": Consistency,
    "gaussian": Gaussian,
    "standard": Standard,
}


def find_objective(name: str) -> type[Objective]:
    """The method of that name. Raises: UnknownNameError, which lists the known ones."""
    if name not in OBJECTIVES:
        raise UnknownNameError("objective", name, OBJECTIVES)
    return OBJECTIVES[name]


def objective_name(objective: Objective) -> str:
    """The name under which a method stands in the table."""
    return next(name for name, kind in OBJECTIVES.items() if kind is type(objective))
