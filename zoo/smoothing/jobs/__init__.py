"""Jobs: the draws that one image still needs, and what its votes prove.

Certification   selects a class and certifies a radius (CERTIFY)
Prediction      the most frequent class (PREDICT)
LabelSetJob     the classes that fit a single draw, by a calibrated threshold
"""

from zoo.smoothing.jobs.certification import Certification
from zoo.smoothing.jobs.job import Job, Result, checked_pixels
from zoo.smoothing.jobs.label_set import LabelSetJob
from zoo.smoothing.jobs.prediction import Prediction

__all__ = ["Certification", "Job", "LabelSetJob", "Prediction", "Result", "checked_pixels"]
