"""The help of the commands: options in groups, then an example.

It is plain text, which a pipe and a narrow terminal show as well: importing rich would take a third of the time of
`zoo --help`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from typer.core import TyperCommand

MOST_INDENTED = 24
WORDS = ((r" <(int|int range)>", " N"), (r" <float( range)?>", " X"), (r" <str>", " NAME"), (r" <path>", " PATH"))
"""The kinds of values as typer writes them, and as the help does."""
BRACES = re.compile(r"\{(.*?)(?:\.\.\.)?\}(\.\.\.)?")
"""An argument in typer's line of usage, `{NAME}`, or `{NAME...}...` for several."""
UNTOLD = re.compile(r" \[(x>=[01]|required)\]|; x>=[01](?=\])| (?=\Z)")
"""What the help leaves out: trivial ranges, and what the section says already."""
EXAMPLE = "Example: "
"""The last paragraph of a command's docstring begins with it."""

Groups = Mapping[str, tuple[str, ...]]

OTHERS = "Options"
FEWEST_GROUPED = 8
"""The options of a command that has fewer of them, not counting --help, are one list."""

HELP = ("-h", "--help")

TASKS = ("--engine", "--workers", "--ray-address")

GROUPS: Groups = {
    "Images": ("--images", "--sample", "--skip", "--max", "--data-dir"),
    "Noise and draws": ("--mode", "--sigma", "--noise", "--n0", "--n", "--alpha", "--family", "--deadline-ms"),
    "Rule and bound": ("--stopping", "--radius", "--tolerance", "--bound"),
    "Run": ("--seed", "--device", "--backend", "--precision", "--batch-size", *TASKS),
    "Output": ("--record", "--json"),
}
TRAINING: Groups = {
    "Method": ("--objective", "--recipe", "--set", "--grid", "--sigma"),
    "Network": ("--architecture", "--init", "--freeze"),
    "Images": ("--fit", "--limit-per-class", "--data-dir"),
    "Run": ("--seed", "--resume", "--device"),
    "Output": ("--json",),
}
LIMITS = ("--n", "--max-n", "--max-pixels", "--limit")
GROUPS_OF: Mapping[str, Groups] = {
    "train": TRAINING,
    "search": TRAINING,
    "evaluate": {
        "Noise": ("--noise-sigmas",),
        "Attack": ("--attack", "--epsilon", "--norm", "--attack-steps", "--restarts", "--loss"),
        "Attack on the smoothed classifier": ("--sigma", "--noise-samples", "--n"),
        "Images": ("--images", "--sample", "--skip", "--max", "--data-dir"),
        "Run": ("--seed", "--device", "--backend", "--precision", "--batch-size", *TASKS),
        "Output": ("--output", "--record", "--json"),
    },
    "import": {
        "Network": ("--format", "--network", "--architecture", "--num-classes", "--fresh-head"),
        "Input": ("--normalization", "--image-size", "--fit", "--resize", "--interpolation"),
        "Card": ("--task", "--classes", "--objective", "--sigma", "--url", "--licence", "--reported"),
        "Output": ("--json",),
    },
    "predict": {
        "Model": ("--url", "--token", "--model", "--device", "--backend", "--precision"),
        "Noise and draws": ("--mode", "--n", "--n0", "--alpha", "--noise"),
        "Rule and bound": ("--stopping", "--radius", "--tolerance", "--bound", "--deadline-ms"),
        "Output": ("--json",),
    },
    "serve": {
        "Addresses": ("--port", "--host", "--management-port", "--metrics-port", "--ui", "--ui-port"),
        "Access": ("--token", "--tokens"),
        "Limits of requests": LIMITS,
        "Kept files": ("--store", "--logs", "--echo-logs", "--families", "--noise-secret"),
        "Replicas in Ray": ("--replicas", "--max-replicas", "--ray-address"),
        "Run": ("--engine", "--threads", "--device", "--backend", "--precision", "--drain-seconds"),
    },
    "run": {
        "Runs": ("--only", "--run", "--max-hours", "--retry-failed"),
        "Run": ("--folder", "--device", "--data-dir", *TASKS),
        "Output": ("--json",),
    },
    "archive": {
        "Limits of requests": LIMITS,
        "Run": ("--version", "--workers", "--device", "--backend", "--precision"),
    },
    "add": {"Limits of requests": LIMITS, "Run": ("--version", "--device", "--backend", "--precision")},
}

COMMANDS: Groups = {
    "Train": ("train", "search"),
    "Measure": ("evaluate", "certify", "calibrate", "audit"),
    "Compare": ("report", "compare", "leaderboard", "study"),
    "Convert": ("import", "export", "quantize", "denoise"),
    "Publish and check": ("push", "pull", "list", "show", "card", "verify", "sign"),
    "Serve": ("serve", "archive", "models", "health", "predict"),
}
"""The order of `zoo --help`; an installed command of another package is listed last."""


class HelpfulCommand(TyperCommand):
    """A command whose help lists its options in groups, and then the example of its docstring."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [BRACES.sub(r"\1\2", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        text, _ = split_example(self.help or "")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        parameters = {parameter.opts[0]: parameter for parameter in self.get_params(ctx)}
        rows = {name: _row(record) for name, of in parameters.items() if (record := of.get_help_record(ctx))}
        width = min(MOST_INDENTED, max(len(left) for left, _ in rows.values()))
        arguments = [name for name in rows if not name.startswith("-")]
        required = [name for name in rows if name not in arguments and parameters[name].required]
        optional = [name for name in rows if name not in (*arguments, *required)]
        groups = grouped(optional, GROUPS_OF.get(str(self.name), GROUPS))
        for title, names in (("Arguments", arguments), ("Required", required), *groups):
            if names:
                with formatter.section(title):
                    formatter.write_dl([(f"{rows[name][0]:<{width}}", rows[name][1]) for name in names])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _, example = split_example(self.help or "")
        if example:
            with formatter.section("Example"):
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")  # in one line, to be copied


def split_example(text: str) -> tuple[str, str]:
    """A command's help without its example, and the example; it is empty if there is none."""
    before, mark, example = text.partition(EXAMPLE)
    return before.strip(), " ".join(example.split()) if mark else ""


def grouped(names: Iterable[str], groups: Groups) -> list[tuple[str, list[str]]]:
    """The names in groups, each in the given order; few names are one group, and those of no group come last."""
    left = list(names)
    if len([name for name in left if name not in HELP]) < FEWEST_GROUPED:
        return [(OTHERS, left)]
    members = [(title, [name for name in of_group if name in left]) for title, of_group in groups.items()]
    known = {name for _, of_group in members for name in of_group}
    return [*members, (OTHERS, [name for name in left if name not in known])]


def _row(record: tuple[str, str]) -> tuple[str, str]:
    """A parameter's name and meaning, with typer's words for types and ranges made short."""
    name, meaning = record
    name = name if name.startswith("-") else name.partition(" <")[0]
    for pattern, word in WORDS:
        name = re.sub(pattern, word, name)
    return name, UNTOLD.sub("", meaning).rstrip()
