"""Tasks, which define images, classes and a split; and the table of all tasks."""

from training.tasks.table import TASKS, open_task
from training.tasks.task import LabelledImages, Task

__all__ = ["TASKS", "LabelledImages", "Task", "open_task"]
