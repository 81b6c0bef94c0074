"""The models whose whole cards are kept in `golden/`; `python -m tests.zoo.cards.golden_cards` writes them again."""

from pathlib import Path

from tests.zoo.cards.test_attack_cards import ATTACKED, SMOOTHED
from tests.zoo.cards.test_card import CERTIFICATION
from zoo.cards import render_card
from zoo.models.measurements import CertifiedAccuracy, ClassCounts
from zoo.models.spec import CertifiedConfig, ModelSpec, Origin, Preprocessing, ReportedNumber

FOLDER = Path(__file__).parent / "golden"
FILES = {
    "README.md": "00" * 32,
    "certification.tsv": "11" * 32,
    "certified_accuracy.png": "22" * 32,
    "config.json": "33" * 32,
    "model.onnx": "44" * 32,
    "model.safetensors": "55" * 32,
    "split.json": "66" * 32,
}
RECIPE = {
    "objective": {"name": "consistency", "sigma": 0.5, "m": 2}, "architecture": "resnet50", "epochs": 3,
    "optimizer": {"lr": 0.02, "nesterov": False, "trust_coefficient": None}, "freeze": "layer3", "limit_per_class": 10,
    "schedule": {"name": "multistep", "milestones": [1, 2]},
}  # fmt: skip
POINTS = ((0.0, 0.9, 0.83, 0.95), (0.5, 0.8, 0.7, 0.9), (1.0, 0.4, 0.3, 0.5))
TRAINED = ModelSpec(
    architecture="resnet50",
    num_classes=2,
    certified=CertifiedConfig(
        objective="consistency",
        hyper_parameters={"sigma": 0.5, "m": 2},
        sigma=0.5,
        task="pets",
        class_names=("cat", "dog"),
        parent="77" * 32,
        parent_id="alice/pretrained@v1",
        licence="apache-2.0",
        seed=1,
        epochs=3,
        recipe=RECIPE,
        recipe_digest="88" * 32,
        batch_statistics="all training batches",
        limit_per_class=10,
        num_train_images=3000,
        preprocessing=Preprocessing(resize=256, crop=224, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2)),
        certification=CERTIFICATION.model_copy(
            update={
                "certified_accuracy": tuple(
                    CertifiedAccuracy(radius=r, accuracy=accuracy, low=low, high=high)
                    for r, accuracy, low, high in POINTS
                ),
                "classes": (
                    ClassCounts(label=0, num_images=70, num_certified=(66, 62, 40)),
                    ClassCounts(label=1, num_images=50, num_certified=(42, 34, 8)),
                ),
            }
        ),
        empirical=ATTACKED.model_copy(update={"smoothed": SMOOTHED}),
    ),
)
REPORTED = (
    ReportedNumber(
        what="certified accuracy at l2 radius 0.5",
        value=49.0,
        task="imagenet",
        conditions="sigma 0.5, n 100,000, alpha 0.001, 500 images",
        source="Somebody et al. 2020, table 2",
        url="https://example.org/paper",
    ),
    ReportedNumber(what="ACR", value=0.733, unit="l2 radius", task="imagenet", source="its README | `as is`"),
)
IMPORTED = ModelSpec(
    architecture="resnet50",
    num_classes=1000,
    certified=CertifiedConfig(
        objective="unknown",
        sigma=0.5,
        task="imagenet",
        class_names=tuple(map(str, range(1000))),
        origin=Origin(
            file="best.pth.tar", sha256="99" * 32, format="cohen", url="https://example.org/best.pth.tar",
            licence="as its README says", reported=REPORTED,
        ),
        preprocessing=Preprocessing(resize=224, crop=224, fit="pad"),
    ),
)  # fmt: skip
CARDS = {
    "trained.md": (TRAINED, FILES),
    "imported.md": (IMPORTED, {name: FILES[name] for name in ("config.json", "model.safetensors")}),
}

if __name__ == "__main__":
    for name, (spec, files) in CARDS.items():
        (FOLDER / name).write_text(render_card(spec, files=files))
