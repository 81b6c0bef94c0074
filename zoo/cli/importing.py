"""`zoo import`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zoo.cli._options import Json
from zoo.cli._plain import echo

if TYPE_CHECKING:
    from zoo.checkpoints.checkpoint import Checkpoint
    from zoo.importing.importer import ImportReport

Interpolation = Literal["nearest", "bilinear", "bicubic"]
FitOption = Literal["crop", "pad"]


def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .pt, .pth, .ckpt, .tar or .safetensors file of another project.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="A new directory for the checkpoint.")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, madry, mair, cohen (also Consistency, SmoothMix), crt, macer, vissl, lightly, solo-learn, "
            "timm, efficientnet-pytorch, torchvision, robustbench, or other: any place and prefix.",
        ),
    ] = "auto",
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            metavar="PLACE",
            help="The network to import if the file contains several, such as state_dict_ema or teacher/backbone.",
        ),
    ] = None,
    normalization: Annotated[
        str | None,
        typer.Option(
            help="The normalization that the network expects: imagenet, cifar10, cifar100, none, center-imagenet, "
            "inception (0.5), 'mean=R,G,B;std=R,G,B', or file if the file records it; needed if the file does not.",
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            help="By default the one that the file names, or the ResNet that its tensors fit; needed for another "
            "network of timm that the file does not name."
        ),
    ] = None,
    num_classes: Annotated[
        int | None, typer.Option(metavar="K", min=2, help="A number other than the file's gives a fresh head.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Class names, one per line in the order of the outputs.")
    ] = None,
    fresh_head: Annotated[bool, typer.Option("--fresh-head", help="Do not use the file's head.")] = False,
    sigma: Annotated[float | None, typer.Option(min=0, help="The noise of its training, if any.")] = None,
    task: Annotated[str, typer.Option(help="The task it was trained on, by its name in this zoo.")] = "unknown",
    objective: Annotated[str, typer.Option(metavar="NAME", help="The method it was trained with.")] = "unknown",
    image_size: Annotated[int, typer.Option(metavar="N", min=1, help="Side of the network's input.")] = 224,
    fit: Annotated[
        FitOption, typer.Option(help="crop: the centre of the picture; pad: the whole picture on a white square.")
    ] = "crop",
    resize: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Shorter side before the crop; by default 8/7 of the crop.")
    ] = None,
    interpolation: Annotated[Interpolation, typer.Option(help="The interpolation for resizing images.")] = "bilinear",
    url: Annotated[str | None, typer.Option(help="The address where the file was published, for the card.")] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", metavar="ID", help="The licence of its weights as stated there, such as mit."),
    ] = None,
    reported: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="Numbers that its authors report: a list of {what, value, unit, task, conditions, source, url}. The "
            "card shows them apart from numbers measured here.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert a checkpoint of another project into one of this zoo.

    No code in the file is executed.

    Example: zoo import resnet.pt --normalization imagenet --output mine
    """
    from zoo.importing.class_names import read_class_names
    from zoo.importing.importer import ImportOptions
    from zoo.importing.importer import import_file as run_import
    from zoo.importing.reported import read_reported

    options = ImportOptions(
        format=format,
        network=network,
        normalization=normalization,
        architecture=architecture,
        num_classes=num_classes,
        class_names=None if classes is None else read_class_names(classes),
        fresh_head=fresh_head,
        sigma=sigma,
        task=task,
        objective=objective,
        image_size=image_size,
        fit=fit,
        resize=resize,
        interpolation=interpolation,
        url=url,
        licence=licence,
        reported=() if reported is None else read_reported(reported),
    )
    checkpoint, report = run_import(file, output, options)
    _explain(file, report)
    echo(
        json.dumps(_as_json(checkpoint, report), indent=2)
        if as_json
        else f"{checkpoint.path}: {checkpoint.spec.name}, {report.num_classes} classes"
    )


def _explain(file: Path, report: ImportReport) -> None:
    """Prints the use of the file's keys to stderr."""
    inside = f" in {report.container}" if report.container else ""
    echo(f"{file}: {report.architecture} in the format {report.format}{inside}, {report.normalization}", err=True)
    if report.is_averaged is not None:
        averaged = "a running average" if report.is_averaged else "those of the last step, not averaged"
        echo(f"  the weights are {averaged} ({report.network})", err=True)
    for use, keys in {
        "matched": report.matched,
        "missing, initialized": report.missing,
        "dropped": report.dropped,
        "unexpected, left out": report.unexpected,
    }.items():
        names = "" if use == "matched" or not keys else f" ({', '.join(keys[:4])}{', ...' if len(keys) > 4 else ''})"
        echo(f"  {len(keys)} {use}{names}", err=True)
    for other in report.other_networks:
        echo(f"  also in the file, not imported: the network {other} (--network imports it)", err=True)
    if report.unread:
        counts = ", ".join(f"{key} ({count} tensors)" for key, count in report.unread.items())
        echo(f"  also in the file, not read: {counts}", err=True)
    if not report.has_trained_head:
        echo("  the head is fresh: train it before the network is used (zoo train --init)", err=True)


def _as_json(checkpoint: Checkpoint, report: ImportReport) -> dict[str, Any]:
    return {
        "checkpoint": str(checkpoint.path),
        "name": checkpoint.spec.name,
        "sha256": checkpoint.weights_sha256,
        "format": report.format,
        "container": report.container,
        "network": report.network,
        "other_networks": list(report.other_networks),
        "averaged": report.is_averaged,
        "architecture": report.architecture,
        "num_classes": report.num_classes,
        "has_trained_head": report.has_trained_head,
        "mean": list(report.normalization.mean),
        "std": list(report.normalization.std),
        "matched": len(report.matched),
        "missing": list(report.missing),
        "dropped": list(report.dropped),
        "unexpected": list(report.unexpected),
    }
