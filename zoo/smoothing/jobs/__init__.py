"""Jobs: the draws that one image still needs, and what its votes prove.

Certification   selects a class and certifies a radius (CERTIFY)
Prediction      the most frequent class (PREDICT)
"""

from zoo.smoothing.jobs.certification import Certification
from zoo.smoothing.jobs.job import Job, alpha_left, checked_pixels
from zoo.smoothing.jobs.prediction import Prediction

__all__ = ["Certification", "Job", "Prediction", "alpha_left", "checked_pixels"]
