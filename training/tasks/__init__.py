"""Which images, which classes, which split: one task a file, and the table of all."""

from training.tasks.table import TASKS, open_task
from training.tasks.task import LabelledImages, Task

__all__ = ["TASKS", "LabelledImages", "Task", "open_task"]
