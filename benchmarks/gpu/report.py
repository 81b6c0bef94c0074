"""Writes gpu.json, which is updated after every change, and the Markdown summary of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.gpu.table import Section

JSON, MARKDOWN = "gpu.json", "summary.md"


class Report:
    """The outcomes of a run's sections in order; every change is written to disk atomically."""

    def __init__(self, output: Path, about: dict[str, Any]) -> None:
        """`about` holds the facts about the whole run."""
        self.output = output
        self.about = about
        self.sections: dict[str, dict[str, Any]] = {}

    @property
    def failed(self) -> list[str]:
        """The names of the sections that failed."""
        return [name for name, outcome in self.sections.items() if outcome["status"] == "failed"]

    def record(self, section: Section, outcome: dict[str, Any]) -> None:
        """Replaces the section's outcome, and prints a line if the section has ended."""
        self.sections[section.name] = outcome
        content = {**self.about, "failed": self.failed, "sections": self.sections}
        _write_whole(self.output / JSON, json.dumps(content, indent=1))
        if outcome["status"] != "running":
            print(f"{section.name:16} {_verdict(outcome)}", flush=True)

    def summarize(self) -> str:
        """The summary in Markdown; also writes it to the output folder."""
        text = "\n".join(
            ["## On a GPU: `python -m benchmarks.gpu`", "", _title(self.about, self.sections), "", *_outcomes(self)]
        )
        for name, outcome in self.sections.items():
            if outcome.get("found"):
                text += "\n".join(["", "", f"### {name}", "", *_tables(outcome["found"])])
        text += "\n" + "".join(
            f"\n### {name} failed{': ' + part if part else ''}\n\n```\n{trace.strip()[-2000:]}\n```\n"
            for name, outcome in self.sections.items()
            for part, trace in outcome.get("failures", {}).items()
        )
        _write_whole(self.output / MARKDOWN, text)
        return text


def _title(about: dict[str, Any], sections: dict[str, dict[str, Any]]) -> str:
    figures = sections.get("machine", {}).get("found", {})
    versions = [f"{name} {version}" for name, version in figures.get("versions", {}).items() if version]
    words = [about["begun"], figures.get("name", about["device"]), *versions]
    return ", ".join(words) + ("; a tiny run, whose figures mean nothing." if about["is_tiny"] else ".")


def _outcomes(report: Report) -> list[str]:
    lines = ["| section | outcome | seconds |", "|---|---|---|"]
    for name, outcome in report.sections.items():
        lines.append(f"| {name} | {_verdict(outcome, with_seconds=False)} | {outcome.get('seconds', '')} |")
    return lines


def _verdict(outcome: dict[str, Any], *, with_seconds: bool = True) -> str:
    """One line about an outcome: the status, the seconds, and the failures, missing packages and skipped parts."""
    words = [outcome["status"]]
    if with_seconds and "seconds" in outcome:
        words[0] += f" in {outcome['seconds']} s"
    for part, trace in outcome.get("failures", {}).items():
        words.append(f"{part + ': ' if part else ''}{trace.strip().splitlines()[-1][:200]}")
    for part, package in outcome.get("lacking", {}).items():
        words.append(f"{part + ': ' if part else ''}{package} is not installed")
    for part, reason in outcome.get("skipped", {}).items():
        words.append(f"{part + ': ' if part else ''}{reason}")
    return "; ".join(words)


def _tables(figures: dict[str, Any]) -> list[str]:
    """The figures as Markdown: one table of single values, and one table per group of rows."""
    groups = {name: value for name, value in figures.items() if _is_group(value)}
    lines: list[str] = []
    single = _flat({name: value for name, value in figures.items() if name not in groups})
    if single:
        lines += ["| | |", "|---|---|", *(f"| {name} | {_shown(value)} |" for name, value in single.items())]
    for name, rows in groups.items():
        heads = list(dict.fromkeys(head for row in rows.values() for head in row))
        lines += ["", f"| {name} | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
        lines += [f"| {row} | " + " | ".join(_shown(rows[row].get(head, "")) for head in heads) + " |" for row in rows]
    return lines


def _is_group(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(row, dict) for row in value.values())


def _flat(figures: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        flat |= _flat(value, f"{prefix}{name}: ") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, list):
        return ", ".join(_shown(element) for element in value)
    return str(value).replace("|", "/")


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
