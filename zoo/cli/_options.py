"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A checkpoint directory, a Hub id (owner/name or owner/name@REVISION) or a catalog id."
    ),
]
TaskName = Annotated[
    str,
    typer.Option(
        "--task",
        help="digits, fashion-mnist, openclipart, tuxpaint, imagenet, one of the paper's twelve (food, cifar10, "
        "cifar100, birdsnap, sun397, caltech256, cars, aircraft, dtd, pets, caltech101, flowers), imagefolder:FOLDER "
        "or hf:OWNER/NAME; NAME:FOLDER for data outside the data folder, NAME#CLASSES for some classes. See "
        "docs/reference/tasks.md.",
        metavar="TASK",
    ),
]
Objective = Annotated[
    str,
    typer.Option(
        "--objective",
        help="standard, gaussian, adversarial, trades, smoothadv, macer, consistency, smoothmix, simclr or denoise.",
    ),
]
Architecture = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        metavar="NAME",
        help="resnet50, resnet34, resnet18, resnet10-quarter or any network of timm, such as convnext_atto. By default "
        "that of --init, else resnet50 on a GPU; on a CPU resnet18, or tf_efficientnet_lite0 for larger images.",
        show_default=False,
    ),
]
Init = Annotated[
    str, typer.Option("--init", help="random, or a MODEL to start from: a directory, a Hub id or a catalog id.")
]
OptionalInit = Annotated[
    str | None,
    typer.Option(
        "--init",
        help="random, or a MODEL to start from: a directory, a Hub id or a catalog id. The default is random; with the "
        "recipe few-labels it is efficientnet_lite0.imagenet, if certified-zoo[imagenet] is installed.",
    ),
]
Freeze = Annotated[
    str | None,
    typer.Option(
        "--freeze",
        metavar="LAYER",
        help="Keep the starting point's layers up to this one: conv1, layer1, layer2, layer3 or all-but-head.",
    ),
]
Fit = Annotated[
    Literal["task", "crop", "pad"] | None,
    typer.Option(
        "--fit",
        help="crop: the network sees the centre of a picture; pad: the whole picture on a white square; "
        "task (default): as the task does, which is pad for folders of pictures.",
        show_default=False,
    ),
]
LimitPerClass = Annotated[
    int | None,
    typer.Option("--limit-per-class", min=1, metavar="K", help="Use only K labels per class, validation included."),
]
Recipe = Annotated[
    str,
    typer.Option(
        "--recipe", help="quick, few-labels, paper, paper-finetune, or a published one: cifar10-s50, imagenet-s50..."
    ),
]
OptionalRecipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        show_default=False,
        help="quick, few-labels, paper, paper-finetune, or a published one: cifar10-s50, imagenet-s50... The default "
        "is few-labels for own pictures with fewer than 1,000 labels, otherwise quick.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe: epochs=1, objective.sigma=0.25."),
]
DataDir = Annotated[
    Path,
    typer.Option("--data-dir", envvar="ZOO_DATA_DIR", help="Folder of the downloaded data sets.", show_default=False),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:INDEX.")]
Backend = Annotated[
    str,
    typer.Option("--backend", help="torch, compiled (on GPUs), onnx, or auto: ONNX Runtime on CPUs, PyTorch on GPUs."),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="float32, tf32 (CUDA) or bfloat16; default: int8 for a checkpoint of zoo quantize, else float32. Each is "
        "another base classifier, which certificates name.",
        show_default=False,
    ),
]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Images per forward pass.")]
CertificationBatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, help="Noisy copies per forward pass; the default depends on the device."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Root of every random stream of the run.")]
Skip = Annotated[int, typer.Option("--skip", min=1, help="Use every SKIP-th image, from image 0 on.")]
Maximum = Annotated[int | None, typer.Option("--max", min=1, help="Stop before this image number.")]
Images = Annotated[
    int | None,
    typer.Option("--images", min=1, metavar="K", help="Use a sample of K images, drawn with --seed, not --skip."),
]
Sample = Annotated[
    str,
    typer.Option("--sample", metavar="KIND", help="Kind of the sample: stratified (by classes) or random."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Offline = Annotated[bool, typer.Option("--offline", help="Use only cached files, without the network.")]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", help="local: this process; ray: tasks on a Ray cluster, by default one on this machine."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        help="With --engine ray: tasks at a time; default: one per GPU of the cluster, on CPUs one per processor.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="With --engine ray: a running cluster of which this machine is a node, or auto to find it.",
    ),
]
Record = Annotated[bool, typer.Option("--record", help="Write the result and a new card into the checkpoint.")]
Noise = Annotated[str, typer.Option("--noise", help="gaussian, or discrete: multiples of 1/255 drawn exactly.")]
Stopping = Annotated[
    str,
    typer.Option(
        "--stopping",
        help="When to stop drawing: fixed (n draws), anytime (little radius to gain) or at-radius (--radius decided).",
    ),
]
Radius = Annotated[
    float | None, typer.Option("--radius", metavar="R", help="The l2 radius that --stopping at-radius decides.")
]
Tolerance = Annotated[
    float | None,
    typer.Option("--tolerance", metavar="T", help="With --stopping anytime: stop if the forecast gain is below T."),
]
Bound = Annotated[
    str | None,
    typer.Option(
        "--bound",
        metavar="BOUND",
        help="With --stopping fixed: clopper-pearson (default) bounds the class and leaves the rest to the runner-up; "
        "simultaneous also bounds the runner-up, which certifies classes below one half.",
    ),
]

DATA_DIR = Path("~/.cache/certified-zoo/data").expanduser()
