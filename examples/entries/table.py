"""The table of the entries and the commands that build them."""

from __future__ import annotations

from dataclasses import dataclass

CHECKPOINT = "checkpoint"
SOURCE, TARGET = "fashion-mnist#0,1,2,5,8", "fashion-mnist#3,4,6,7,9"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A checkpoint and the commands that build it.

    `commands` are the arguments of `zoo` commands, with paths relative to the output directory. They leave a measured,
    exported and verified `checkpoint` there. An interrupted command resumes when it is run again. `has_card` is whether
    the entry was built and its card is in `model_cards/`.
    """

    description: str
    task: str
    commands: tuple[tuple[str, ...], ...]
    has_card: bool = True


def _train(output: str, task: str, objective: str, *words: str) -> tuple[str, ...]:
    return ("train", "--task", task, "--objective", objective, *words, "--output", output, "--resume")


def _measure(
    task: str, *, certify: tuple[str, ...], evaluate: tuple[str, ...] = (), licence: str = "apache-2.0"
) -> tuple[tuple[str, ...], ...]:
    """The commands that record accuracy, with and without noise, and certificates, add an ONNX file, and verify all."""
    sigmas = ("--noise-sigmas", "0.25,0.5")
    return (
        ("evaluate", CHECKPOINT, "--task", task, *sigmas, *evaluate, "--record"),
        ("certify", CHECKPOINT, "--task", task, *certify, "--record", "--output", "certification.tsv"),
        ("export", CHECKPOINT, "--record"),
        ("card", CHECKPOINT, "--licence", licence, "--record", "--output", "card.md"),
        ("verify", CHECKPOINT),
    )


ENTRIES = {
    "digits": Entry(
        description="scikit-learn's handwritten digits, trained with consistency regularization from random weights",
        task="digits",
        commands=(
            _train(CHECKPOINT, "digits", "consistency", "--architecture", "resnet10-quarter", "--set", "epochs=20"),
            *_measure("digits", certify=("--skip", "2", "--n", "10000")),
        ),
    ),
    "fashion-mnist": Entry(
        description="Fashion-MNIST, trained with consistency regularization from random weights",
        task="fashion-mnist",
        commands=(
            _train(
                CHECKPOINT, "fashion-mnist", "consistency", "--architecture", "resnet10-quarter",
                "--set", "epochs=5", "--set", "batch_size=64", "--set", "optimizer.lr=0.04",
            ),
            *_measure("fashion-mnist", certify=("--skip", "50", "--n", "10000")),
        ),
    ),
    "fashion-mnist-transfer": Entry(
        description="ResNet-50, pre-trained on five classes of Fashion-MNIST, fine-tuned on the other five with "
        "consistency regularization",
        task=TARGET,
        commands=(
            _train(
                "source", SOURCE, "standard", "--architecture", "resnet50", "--limit-per-class", "1000",
                "--set", "epochs=4", "--set", "optimizer.lr=0.01",
            ),
            _train(
                CHECKPOINT, TARGET, "consistency", "--init", "source", "--limit-per-class", "600",
                "--set", "epochs=6", "--set", "optimizer.lr=0.01",
            ),
            *_measure(TARGET, certify=("--skip", "32", "--n", "1000"), evaluate=("--skip", "10")),
        ),
    ),
    "tuxpaint": Entry(
        description="EfficientNet-Lite0 from ImageNet weights, fine-tuned with consistency regularization on stamps of "
        "Tux Paint in six classes, many of them photographs",
        task="tuxpaint",
        commands=(
            _train(
                CHECKPOINT, "tuxpaint", "consistency", "--recipe", "few-labels",
                "--init", "efficientnet_lite0.imagenet", "--set", "image_size=160",
            ),
            # Whether weights are a work derived from the pictures is not settled, so they have the pictures' licence.
            *_measure("tuxpaint", certify=("--n", "2000"), licence="gpl-2.0"),
        ),
        has_card=False,
    ),
}  # fmt: skip
