"""Whom a card cites for a training method: a literal table."""

from __future__ import annotations

from collections.abc import Mapping

CITATIONS: Mapping[str, str] = {
    "adversarial": "A. Madry et al. Towards Deep Learning Models Resistant to Adversarial Attacks. ICLR 2018.",
    "trades": "H. Zhang et al. Theoretically Principled Trade-off between Robustness and Accuracy. ICML 2019.",
    "smoothadv": "H. Salman et al. Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers. "
    "NeurIPS 2019.",
    "macer": "R. Zhai et al. MACER: Attack-free and Scalable Robust Training via Maximizing Certified Radius. "
    "ICLR 2020.",
    "consistency": "J. Jeong, J. Shin. Consistency Regularization for Certified Robustness of Smoothed Classifiers. "
    "NeurIPS 2020.",
    "smoothmix": "J. Jeong et al. SmoothMix: Training Confidence-calibrated Smoothed Classifiers for Certified "
    "Robustness. NeurIPS 2021.",
    "simclr": "T. Chen et al. A Simple Framework for Contrastive Learning of Visual Representations. ICML 2020.",
}
