"""Base classifiers that tests can see through."""

import numpy as np
import torch

CPU = torch.device("cpu")


class Recorder:
    """Keeps what it was shown and names one class."""

    name, depends_on_batch_shape, draws_on = "recorder", True, CPU

    def __init__(self, *, label=0, num_classes=2):
        self.label, self.num_classes = label, num_classes
        self.seen = []

    def classify(self, x_BCHW):
        self.seen.append(x_BCHW.numpy().copy())
        return np.full(len(x_BCHW), self.label, dtype=np.int64)


class Scripted:
    """Names the classes of a list, draw after draw, then the last one for ever."""

    name, depends_on_batch_shape, draws_on = "scripted", False, CPU

    def __init__(self, classes, *, num_classes=3):
        self.classes, self.num_classes = np.asarray(classes), num_classes
        self.asked = 0

    def classify(self, x_BCHW):
        places = np.minimum(np.arange(self.asked, self.asked + len(x_BCHW)), len(self.classes) - 1)
        self.asked += len(x_BCHW)
        return self.classes[places]


class Threshold:
    """Class 1 where the first pixel is at least `at`: under noise its boundary is the same plane."""

    name, num_classes, depends_on_batch_shape, draws_on = "threshold", 2, False, CPU

    def __init__(self, *, at):
        self.at = at

    def classify(self, x_BCHW):
        return (x_BCHW[:, 0, 0, 0].numpy() >= self.at).astype(np.int64)
