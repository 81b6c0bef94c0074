"""Training methods: one per file, and the table of all methods."""

from training.objectives.objective import Batch, Objective, ObjectiveOutput, Progress
from training.objectives.table import OBJECTIVES, find_objective

__all__ = ["OBJECTIVES", "Batch", "Objective", "ObjectiveOutput", "Progress", "find_objective"]
