"""Our own entries: the build runs step by step, and their cards in model_cards/ match the files next to them."""

import hashlib
import json
import shutil

import pytest

from examples.entries.build import build
from examples.entries.cards import FOLDER, KEPT, render_again
from examples.entries.table import ENTRIES, Entry
from training.recipe import override
from training.recipes import find_recipe
from zoo.checkpoints.checkpoint import read_manifest, read_spec
from zoo.models.catalog import find_entry
from zoo.models.layout import CARD, CONFIG, MANIFEST, WEIGHTS
from zoo.verification.claims import check_card, check_curve, check_numbers, check_rows

WITH_CARD = [name for name, entry in ENTRIES.items() if entry.has_card]
ENTRY = Entry(description="an entry", task="digits", commands=(("train", "a"), ("certify", "b"), ("verify", "c")))


def test_a_build_goes_on_with_the_command_that_was_cut_off(tmp_path):
    ran = []

    def run(*words):
        ran.append(words)
        if words[0] == "certify" and len(ran) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(ENTRY, tmp_path / "new", run=run)
    build(ENTRY, tmp_path / "new", run=run)
    build(ENTRY, tmp_path / "new", run=run)
    assert [words[0] for words in ran] == ["train", "certify", "certify", "verify"]


def test_a_command_that_has_changed_is_run_again_with_all_after_it(tmp_path):
    ran = []
    build(ENTRY, tmp_path, run=lambda *words: ran.append(words))
    changed = Entry(description="", task="digits", commands=(("train", "a"), ("certify", "other"), ("verify", "c")))
    build(changed, tmp_path, run=lambda *words: ran.append(words))
    assert ran[len(ENTRY.commands) :] == [("certify", "other"), ("verify", "c")]


def test_the_first_command_of_the_entry_that_is_not_built_yet_can_start():
    words = ENTRIES["tuxpaint"].commands[0]
    options = dict(zip(words[1:-1:2], words[2:-1:2], strict=True))
    recipe = override(find_recipe(options["--recipe"], objective=options["--objective"]), [options["--set"]])
    assert recipe.image_size == 160 and find_entry(options["--init"]).architecture == "tf_efficientnet_lite0"


def test_every_entry_that_was_built_has_its_card_and_no_card_is_of_another():
    assert {path.parent.name for path in FOLDER.glob(f"*/{MANIFEST}")} == set(WITH_CARD)
    assert all({path.name for path in (FOLDER / name).iterdir()} == set(KEPT) for name in WITH_CARD)


@pytest.mark.parametrize("name", WITH_CARD)
def test_a_kept_card_follows_from_the_files_beside_it(name):
    folder = FOLDER / name
    spec, manifest = read_spec(folder), read_manifest(folder)
    for file in set(KEPT) - {MANIFEST}:
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == manifest[file], file
    assert WEIGHTS in manifest and not (folder / WEIGHTS).exists()
    checked, rows = check_rows(folder, spec, manifest)
    checks = [
        checked,
        check_numbers(spec.certified.certification, rows),
        check_card(folder, spec, manifest),
        check_curve(folder, spec, manifest, rows),
    ]
    findings = {check.name: check.findings for check in checks if check.findings}
    assert not findings, "after a change of the template: python -m examples.entries.cards"
    assert spec.certified.task == ENTRIES[name].task


def test_a_card_that_the_template_has_left_behind_is_found_and_rendered_anew(tmp_path):
    folder = shutil.copytree(FOLDER / "digits", tmp_path / "digits")
    card = (folder / CARD).read_text()
    (folder / CARD).write_text(card.replace("## Limits", "## Limitations"))
    assert check_card(folder, read_spec(folder), read_manifest(folder)).findings
    assert render_again(folder) and not render_again(folder)
    assert (folder / CARD).read_text() == card
    assert json.loads((folder / MANIFEST).read_text()) == json.loads((FOLDER / "digits" / MANIFEST).read_text())


def test_an_edited_number_of_a_kept_card_is_found(tmp_path):
    folder = shutil.copytree(FOLDER / "digits", tmp_path / "digits")
    config = json.loads((folder / CONFIG).read_text())
    config["certified"]["certification"]["average_certified_radius"] += 0.1
    (folder / CONFIG).write_text(json.dumps(config))
    spec, manifest = read_spec(folder), read_manifest(folder)
    _, rows = check_rows(folder, spec, manifest)
    assert check_numbers(spec.certified.certification, rows).findings
