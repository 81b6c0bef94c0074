"""The formats in which other projects store a network."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.importing.namings import EFFICIENTNET, NUMBERED, Naming

AUTO, OTHER = "auto", "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFormat:
    """The places of a network's tensors and of other known entries in one kind of file.

    `containers` are paths of keys to the state dict. `prefixes` are possible prefixes of the tensors' names in it. The
    first fitting container and prefix are used. If a format has `marks`, the automatic search recognizes it only in a
    file that contains one of them. `normalizers` are the names of mean and std. Tensors below the first prefix of a
    pair in `copies` must equal those below the second. `dropped` are prefixes of known entries that are not needed, and
    `passed_over` are containers of a second network that the project itself does not load. The containers in `averaged`
    have a running average of the weights, the other named containers of such a format the weights of the last step.
    `naming` is the format's own naming of the tensors, None for the names of the architecture itself.
    """

    made_by: str
    containers: tuple[tuple[str, ...], ...]
    prefixes: tuple[str, ...]
    marks: tuple[str, ...] = ()
    normalizers: tuple[tuple[str, str], ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    passed_over: tuple[tuple[str, ...], ...] = ()
    averaged: tuple[tuple[str, ...], ...] = ()
    naming: Naming | None = None


# A file is compared with the formats in this order. The empty container, last in each row, is the file itself; a state
# dict that was converted to safetensors looks like that.
FORMATS: dict[str, ForeignFormat] = {
    "madry": ForeignFormat(
        made_by="MadryLab robustness, robust-models-transfer",
        containers=(("model",), ("state_dict",), ()),
        prefixes=("module.model.model.", "module.model."),
        marks=("module.normalizer.new_mean",),
        normalizers=(("module.normalizer.new_mean", "module.normalizer.new_std"),),
        copies=(
            ("module.attacker.model.", "module.model."),
            ("module.attacker.normalize.", "module.normalizer."),
        ),
        dropped=("module.attacker.",),
    ),
    "mair": ForeignFormat(
        made_by="MAIR",
        containers=(("rmodel",), ()),
        prefixes=("model.module.", "model."),
        marks=("rmodel", "n_classes"),
        normalizers=(("mean", "std"),),
        dropped=("n_classes",),
    ),
    "cohen": ForeignFormat(
        made_by="Cohen, SmoothAdv (Salman), Consistency, SmoothMix, CAT-RS",
        containers=(("state_dict",), ()),
        prefixes=("1.module.", "1."),
        marks=("arch",),
    ),
    "crt": ForeignFormat(made_by="CRT", containers=(("state_dict",), ()), prefixes=("1.module.", "1.")),
    "macer": ForeignFormat(made_by="MACER", containers=(("net",), ()), prefixes=("", "module."), marks=("net",)),
    "vissl": ForeignFormat(
        made_by="VISSL",
        containers=(("classy_state_dict", "base_model", "model", "trunk"), ("model_state_dict",), ()),
        prefixes=("_feature_blocks.", "trunk._feature_blocks.", ""),
        marks=(
            "classy_state_dict",
            "model_state_dict",
            "_feature_blocks.conv1.weight",
            "trunk._feature_blocks.conv1.weight",
        ),
        dropped=("heads.",),
    ),
    "lightly": ForeignFormat(
        made_by="lightly",
        containers=(("state_dict",), ()),
        prefixes=("backbone.", ""),
        dropped=("projection_head.", "prediction_head.", "backbone_momentum.", "projection_head_momentum."),
        naming=NUMBERED,
    ),
    "solo-learn": ForeignFormat(
        made_by="solo-learn",
        containers=(("state_dict",), ()),
        prefixes=("backbone.", "encoder."),
        dropped=("projector.", "predictor.", "classifier.", "momentum_"),
    ),
    "timm": ForeignFormat(
        made_by="timm",
        containers=(("state_dict_ema",), ("state_dict",), ()),  # timm too loads the averaged weights first
        prefixes=("", "module."),
        marks=("state_dict_ema", "version"),
        passed_over=(("state_dict",),),
        averaged=(("state_dict_ema",),),
    ),
    "efficientnet-pytorch": ForeignFormat(
        made_by="efficientnet-pytorch, efficientnet-lite-pytorch",
        containers=((), ("state_dict",), ("model",)),
        prefixes=("", "module."),
        naming=EFFICIENTNET,
    ),
    "torchvision": ForeignFormat(made_by="torchvision", containers=(("model",), ("state_dict",), ()), prefixes=("",)),
    "robustbench": ForeignFormat(
        made_by="RobustBench, or a script that saves a DataParallel network",
        containers=(("last",), ("best",), ("state_dict",), ("model",), ()),  # if both exist, RobustBench loads "last"
        prefixes=("module.model.", "model.module.", "module.", "model.", ""),
        normalizers=(("normalize.mean", "normalize.std"), ("mu", "sigma"), ("module.mu", "module.sigma")),
        passed_over=(("best",),),
    ),
    # Any container and any prefix, such as "_orig_mod." of torch.compile or "net." of a wrapper. The normalizers are
    # searched below each part of the prefix.
    OTHER: ForeignFormat(
        made_by="any other project",
        containers=(),
        prefixes=(),
        normalizers=(
            ("normalize.mean", "normalize.std"),
            ("normalizer.mean", "normalizer.std"),
            ("normalizer.new_mean", "normalizer.new_std"),
            ("mean", "std"),
            ("mu", "sigma"),
        ),
    ),
}
