"""The generated parts of the reference are complete: commands, settings, addresses and errors come from the code."""

import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from docs import generated
from docs.python_reference import as_restructured_text
from training.objectives import OBJECTIVES
from training.recipe import field_paths
from training.recipes import find_recipe
from zoo import errors


@pytest.fixture(scope="module")
def commands():
    return generated.commands()


def test_every_command_and_option_is_in_the_reference(commands):
    missing = []
    for path, command, context in generated.walk_commands():
        section = commands.split(f"## {path}\n")[1].split("\n## ")[0]
        names = [name for parameter in command.get_params(context) for name in parameter.opts if name.startswith("-")]
        missing += [f"{path} {name}" for name in names if name not in section]
    assert missing == [] and "## zoo models switch\n" in commands and "## zoo train\n" in commands


def test_every_key_of_a_recipe_of_every_method_is_in_the_reference():
    text = generated.settings()
    for name in OBJECTIVES:
        keys = field_paths(find_recipe("quick", objective=name))
        assert [key for key in keys if f"| `{key}` |" not in text] == []


def test_a_new_key_appears_with_its_values_and_default():
    @dataclass
    class Owner:
        kind: Literal["a", "b"] = "a"
        rate: float | None = None
        steps: tuple[int, ...] = field(default=())
        on: bool = False

    assert generated._keys(Owner, "new.").splitlines()[2:] == [
        "| `new.kind` | `a`, `b` | `a` |",
        "| `new.rate` | a number, none | `none` |",
        "| `new.steps` | numbers, divided by commas | `none` |",
        "| `new.on` | true or false | `false` |",
    ]


def test_every_address_schema_and_error_is_in_the_reference():
    text, document = generated.http(), json.loads((generated.SCHEMAS / "openapi.json").read_text())
    assert all(f"## POST {address}\n" in text for address in document["paths"])
    assert all(f"### {name}\n" in text for name in document["components"]["schemas"])
    assert "| `seed` | integer; at least 0; at most 4294967295 |" in text
    table = generated.errors()
    assert all(f"| `{name}` |" in table for name in vars(errors) if name.endswith("Error"))


def test_config_and_leaderboard_have_a_section_per_object():
    assert "### ModelSpec" in generated.config() and "| `certified` |" in generated.config()
    assert "### CertifiedConfig" in generated.config() and "| `schema_version` |" in generated.leaderboard()


def test_a_docstring_becomes_restructured_text():
    lines = ["The `x` of y.", "Raises: ZooError if `x` is 0.", "", ">>> f(`a`)"]
    assert as_restructured_text(lines, is_module=False) == [
        "The ``x`` of y.", "", "**Raises:** ZooError if ``x`` is 0.", "", ">>> f(``a``)",
    ]  # fmt: skip
    module = ["What `m` does.", "", "load     returns it", "  save   keeps it", "", "More."]
    assert as_restructured_text(module, is_module=True) == [
        "What ``m`` does.", "", "",
        ".. code-block:: text", "", "   load     returns it", "     save   keeps it", "", "", "More.",
    ]  # fmt: skip
