"""The help of every command: groups of options, and an example that the command accepts."""

import shlex

import pytest

from docs.generated import walk_commands
from zoo.cli._help import COMMANDS, FEWEST_GROUPED, GROUPS, GROUPS_OF, OTHERS, grouped, split_example

WALKED = {path: (command, context) for path, command, context in walk_commands()}


def optional(command, context):
    """The names of the options that may be left out, without --help."""
    own = [parameter for parameter in command.get_params(context) if parameter.opts[0].startswith("-")]
    return [parameter.opts[0] for parameter in own if not parameter.required and "--help" not in parameter.opts]


@pytest.mark.parametrize("path", WALKED)
def test_a_command_accepts_its_example(path):
    command, context = WALKED[path]
    _, example = split_example(command.help)
    words = shlex.split(example)
    assert example.startswith(f"{path} ") and len(example) < 78
    command.make_context(path, words[len(path.split()) :], parent=context.parent)
    assert context.get_help().rstrip().endswith(f"Example:\n  {example}")


def test_a_long_help_is_in_groups_and_every_grouped_option_exists():
    for path, (command, context) in WALKED.items():
        options = optional(command, context)
        titles = [title for title, names in grouped(options, GROUPS_OF.get(command.name, GROUPS)) if names]
        assert (len(titles) > 1) == (len(options) >= FEWEST_GROUPED), path
        text = context.get_help()
        assert all(f"\n{title}:\n" in text for title in titles), path
        assert all(f"\n  {name}" in text for name in options), path
    known = {p.opts[0] for command, context in WALKED.values() for p in command.get_params(context)}
    named = {name for groups in (GROUPS, *GROUPS_OF.values()) for of_group in groups.values() for name in of_group}
    assert named <= known and set(GROUPS_OF) <= {path.split()[-1] for path in WALKED}


def test_no_option_of_a_grouped_command_is_forgotten():
    for path, (command, context) in WALKED.items():
        options = optional(command, context)
        others = dict(grouped(options, GROUPS_OF.get(command.name, GROUPS)))[OTHERS]
        assert len(options) < FEWEST_GROUPED or others == [], path


def test_every_command_is_in_a_group_of_the_root():
    assert {name for names in COMMANDS.values() for name in names} >= {path.split()[1] for path in WALKED}
