"""Command-line options of the operator's limits, which several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

DefaultN = Annotated[int, typer.Option("--n", min=1, help="Default number of draws of a certification.")]
MaxN = Annotated[int, typer.Option("--max-n", min=1, help="Maximum draws per image.")]
MaxPixels = Annotated[int, typer.Option("--max-pixels", min=1, help="Maximum pixels of a request's images.")]
Limit = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=VALUE",
        help="Another limit or default of the model: n0, alpha, bound, max_bytes, max_images, "
        "max_draws_per_request, max_open_requests, longest_deadline_ms, allows_seed, families, cached_answers. "
        "See docs/how-to/operate.md.",
    ),
]
