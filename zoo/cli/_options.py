"""Options that several commands share, spelled once."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A checkpoint directory or a Hub id owner/name[@revision].")
]
TaskName = Annotated[
    str, typer.Option("--task", help="digits, fashion-mnist[:FOLDER] or imagefolder:FOLDER.", metavar="TASK")
]
DataDir = Annotated[
    Path,
    typer.Option("--data-dir", envvar="ZOO_DATA_DIR", help="Where downloaded data sets are kept.", show_default=False),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:INDEX.")]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Images or noisy copies a forward pass.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Root of every random stream of the run.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")]
Record = Annotated[bool, typer.Option("--record", help="Write the result and a new card into the checkpoint.")]

DATA_DIR = Path("~/.cache/certified-zoo/data").expanduser()
