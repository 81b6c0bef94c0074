"""`zoo card`: what a card would say, before and after it is written."""

import re

from zoo.checkpoints.checkpoint import open_checkpoint


def test_the_preview_of_an_untouched_checkpoint_is_its_card(copy_of_certified, zoo_command, tmp_path):
    done = zoo_command("card", copy_of_certified)
    assert (done.code, done.out) == (0, (copy_of_certified / "README.md").read_text())
    assert zoo_command("card", copy_of_certified, "--output", tmp_path / "card.md").out == ""
    assert (tmp_path / "card.md").read_text() == done.out
    assert zoo_command("card", copy_of_certified, "--output", tmp_path / "nowhere" / "card.md").code == 2


def test_a_licence_is_previewed_and_then_recorded_without_touching_weights_or_results(copy_of_certified, zoo_command):
    before = open_checkpoint(copy_of_certified)
    preview = zoo_command("card", copy_of_certified, "--licence", "apache-2.0").out
    assert "license: apache-2.0" in preview and open_checkpoint(copy_of_certified).files == before.files
    assert zoo_command("card", copy_of_certified, "--licence", "apache-2.0", "--record").out == preview
    after = open_checkpoint(copy_of_certified)
    assert (copy_of_certified / "README.md").read_text() == preview
    assert {name for name in after.files if after.files[name] != before.files[name]} == {"README.md", "config.json"}
    assert zoo_command("verify", copy_of_certified).code == 0


def test_a_card_is_recorded_in_a_directory_only(zoo_command):
    done = zoo_command("card", "alice/digits", "--record")
    assert done.code == 2 and "zoo pull alice/digits DIR" in done.err


def test_the_snippet_on_a_card_runs_beside_it(certified_digits, monkeypatch, capsys):
    card = (certified_digits.path / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(certified_digits.path)
    exec(snippet.replace("n=1000", "n=20"), {})
    assert re.fullmatch(r"(\d|None)\n", capsys.readouterr().out)


def test_the_command_on_a_card_trains_by_the_recipe_whose_digest_it_names(certified_digits):
    import shlex

    from training.objectives.consistency import Consistency
    from training.recipe import override
    from training.recipes import quick

    card = (certified_digits.path / "README.md").read_text()
    (line,) = re.findall(r"^zoo train .*$", card, re.MULTILINE)
    words = shlex.split(line)
    assignments = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    architecture = words[words.index("--architecture") + 1]
    recipe = override(quick(Consistency()), [f"architecture={architecture}", *assignments])
    assert recipe.digest() == certified_digits.spec.certified.recipe_digest


def test_the_curve_of_the_same_rows_is_the_same_file(certified_digits):
    from zoo.results.figure import curve_png

    rows = (certified_digits.path / "certification.tsv").read_bytes()
    again = curve_png(rows, name=certified_digits.spec.name)
    assert again == (certified_digits.path / "certified_accuracy.png").read_bytes()
