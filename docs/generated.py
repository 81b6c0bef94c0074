"""Pages that are generated from the code itself, in Markdown: commands, settings of a recipe, the HTTP interface.

A page names its part as `<!-- generated: commands -->`; conf.py puts the Markdown there when the site is built.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

MENTION = re.compile(r"\bdocs/([\w/-]+\.md)\b")
SCHEMAS = Path(__file__).parents[1] / "schemas"


def commands() -> str:
    """A section per command of `zoo`: its help, its arguments and all its options."""
    return "\n\n".join(_command(path, command, context) for path, command, context in walk_commands())


def walk_commands() -> Iterator[tuple[str, Any, Any]]:
    """The commands of `zoo` as (`zoo study run`, the command, its context), alphabetically; groups are left out."""
    import typer

    from zoo.cli.app import app

    def walk(path: str, group: Any, context: Any) -> Iterator[tuple[str, Any, Any]]:
        for name in sorted(group.list_commands(context)):
            command = group.get_command(context, name)
            below = type(context)(command, info_name=name, parent=context)
            if hasattr(command, "list_commands"):
                yield from walk(f"{path} {name}", command, below)
            else:
                yield f"{path} {name}", command, below

    root = typer.main.get_command(app)
    yield from walk("zoo", root, root.make_context("zoo", [], resilient_parsing=True))


def _command(path: str, command: Any, context: Any) -> str:
    from zoo.cli._help import split_example

    usage = " ".join([path, *command.collect_usage_pieces(context)])
    rows = [record for parameter in command.get_params(context) if (record := parameter.get_help_record(context))]
    table = ["| argument or option | meaning |", "|---|---|"]
    table += [f"| {_code(names)} | {_cell(meaning)} |" for names, meaning in rows]
    text, example = split_example(command.help or "")
    blocks = [f"```text\n{usage}\n```", *([f"```sh\n{example}\n```"] if example else [])]
    return "\n\n".join([f"## {path}", _paragraphs(text), *blocks, "\n".join(table)])


def settings() -> str:
    """The keys of `zoo train --set`: those of every recipe, of the optimizers, the schedule and each method."""
    from training.objectives import OBJECTIVES
    from training.recipe import Adam, Schedule, Sgd, TrainingRecipe

    parts = ["## Of every recipe", _docstring(TrainingRecipe), _keys(TrainingRecipe, "")]
    for title, kind in (("sgd", Sgd), ("adam", Adam)):
        parts += [f"## The optimizer {title}", _docstring(kind), _keys(kind, "optimizer.")]
    parts += ["## The schedule", _docstring(Schedule), _keys(Schedule, "schedule.")]
    for name, kind in sorted(OBJECTIVES.items()):
        parts += [f"## The method {name}", _docstring(kind), _keys(kind, "objective.")]
    return "\n\n".join(part for part in parts if part)


def _keys(owner: type, prefix: str) -> str:
    """The table of the keys of a dataclass whose values are no dataclasses themselves."""
    hints, rows = get_type_hints(owner), []
    for field in fields(owner):
        kind = hints[field.name]
        if any(is_dataclass(each) for each in (kind, *getattr(kind, "__args__", ()))) or field.name == "objective":
            continue
        rows.append(f"| `{prefix}{field.name}` | {_values(kind)} | `{_default(field.default)}` |")
    return "\n".join(["| key | values | default |", "|---|---|---|", *rows]) if rows else "It has no keys."


def _default(value: Any) -> str:
    if value is None or value == ():
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(kind: Any) -> str:
    """The values of a type in words; the members of a Literal are listed."""
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a text", type(None): "none"}
    if kind in names:
        return names[kind]
    arguments = getattr(kind, "__args__", ())
    if getattr(kind, "__origin__", None) is tuple:
        return "numbers, divided by commas"
    if all(isinstance(each, str) for each in arguments):
        return ", ".join(f"`{each}`" for each in arguments)
    return ", ".join(_values(each) for each in arguments)


def _docstring(owner: Any) -> str:
    """The docstring of a class as Markdown; indented formulas stay as they are."""
    import inspect

    return inspect.cleandoc(owner.__doc__ or "")


def http() -> str:
    """The addresses, parameters, bodies and answers of schemas/openapi.json."""
    document = json.loads((SCHEMAS / "openapi.json").read_text())
    parts = [document["info"]["description"]]
    for address, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(method.upper(), address, operation))
    parts.append("## Bodies")
    parts += [_schema(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "\n\n".join(parts)


def _operation(method: str, address: str, operation: dict[str, Any]) -> str:
    sent = [
        f"| {_code(media)} | {_kind(body['schema'])} |" for media, body in operation["requestBody"]["content"].items()
    ]
    answers = []
    for status, answer in operation["responses"].items():
        bodies = [f"{_code(media)}: {_kind(body['schema'])}" for media, body in answer.get("content", {}).items()]
        answers.append(f"| {status} | {_cell(answer['description'])} | {'; '.join(bodies) or 'empty'} |")
    return "\n\n".join([
        f"## {method} {address}",
        operation["summary"],
        "\n".join(["| content type of the request | body |", "|---|---|", *sent]),
        "\n".join(["| status | meaning | body of the answer |", "|---|---|---|", *answers]),
    ])  # fmt: skip


def _schema(name: str, schema: dict[str, Any]) -> str:
    parts = [f"### {name}"]
    if "description" in schema:
        parts.append(schema["description"])
    required = set(schema.get("required", ()))
    rows = []
    for key, value in schema.get("properties", {}).items():
        words = [_kind(value), *(["required"] if key in required else []), *_limits(value)]
        rows.append(f"| `{key}` | {'; '.join(words)} | {_cell(value.get('description', ''))} |")
    if rows:
        parts.append("\n".join(["| key | value | |", "|---|---|---|", *rows]))
    else:
        parts.append(_kind(schema))
    return "\n\n".join(parts)


def _kind(schema: dict[str, Any]) -> str:
    """The type of a JSON schema in words, with a link to the section of a named one."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for joined in ("anyOf", "oneOf", "allOf"):
        if joined in schema:
            return " or ".join(_kind(each) for each in schema[joined])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "array":
        inner = schema.get("items") or {}
        if "prefixItems" in schema:
            return "an array of " + ", ".join(_kind(each) for each in schema["prefixItems"])
        return f"an array of {_kind(inner)}" if inner else "an array"
    encoded = schema.get("contentEncoding") or schema.get("contentMediaType")
    return f"{schema.get('type', 'any value')}{f' ({encoded})' if encoded else ''}"


def _limits(schema: dict[str, Any]) -> list[str]:
    names = {
        "minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below",
        "minItems": "items: at least", "maxItems": "items: at most", "maxLength": "characters: at most",
    }  # fmt: skip
    limits = [f"{words} {schema[key]}" for key, words in names.items() if key in schema]
    default = schema.get("default")
    return limits if default is None or isinstance(default, dict) else [*limits, f"default `{json.dumps(default)}`"]


def _paragraphs(text: str) -> str:
    """A help text as paragraphs, with what Markdown would read as markup kept as text."""
    return "\n\n".join(_cell(paragraph) for paragraph in text.split("\n\n"))


def _cell(text: str) -> str:
    """A line of text in a table."""
    escaped = " ".join(text.split())
    for character in "\\|*_<>[":
        escaped = escaped.replace(character, f"\\{character}")
    return MENTION.sub(r"[\1](../\1)", escaped)


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def config() -> str:
    """The keys of config.json, from the model that reads and writes it."""
    from zoo.models.spec import ModelSpec

    return _json_schema(ModelSpec.model_json_schema())


def leaderboard() -> str:
    """The keys of a leaderboard entry, from schemas/leaderboard.schema.json."""
    return _json_schema(json.loads((SCHEMAS / "leaderboard.schema.json").read_text()))


def _json_schema(document: dict[str, Any]) -> str:
    """A section per object of a JSON schema, the outer one first."""
    named = {document["title"]: document, **document.get("$defs", {})}
    return "\n\n".join(_schema(name, schema) for name, schema in named.items())


def errors() -> str:
    """A row per error of `zoo.errors`: exit code, HTTP status and meaning."""
    import inspect

    from zoo import errors as module

    rows = []
    for name, kind in vars(module).items():
        if inspect.isclass(kind) and issubclass(kind, module.ZooError):
            summary = inspect.cleandoc(kind.__doc__ or "").splitlines()[0]
            rows.append(f"| `{name}` | {kind.exit_code} | {kind.http_status} | {_cell(summary)} |")
    return "\n".join(["| error | exit code | HTTP status | meaning |", "|---|---|---|---|", *rows])


def decisions() -> str:
    """The list of all decision records."""
    return "```{toctree}\n:maxdepth: 1\n:glob:\n\n0*\n```"


GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands,
    "settings": settings,
    "http": http,
    "config": config,
    "leaderboard": leaderboard,
    "errors": errors,
    "decisions": decisions,
}
"""The parts of pages that are generated, by the name in a page's mark."""
