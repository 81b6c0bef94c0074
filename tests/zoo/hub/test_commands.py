"""zoo push, pull, list and show, as they are typed."""

import json
import os
import subprocess
import sys

import pytest

from tests.zoo.hub.conftest import REPOSITORY, left_in, save
from zoo import hub as zoo_hub
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.models.catalog import CATALOG

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")


def test_a_push_and_a_pull_say_what_they_did(hub, small, newer, zoo_command, tmp_path):
    pushed = zoo_command("push", small.path, REPOSITORY, "--tag", "v1", "--private")
    sha = hub.repository(REPOSITORY).head.oid
    assert (pushed.code, pushed.out) == (0, f"pushed {REPOSITORY}@{sha}, tagged v1\n")
    assert "pushing 4 files, " in pushed.err and hub.repository(REPOSITORY).private
    again = zoo_command("push", small.path, REPOSITORY)
    assert (again.code, again.out) == (0, f"unchanged, nothing to push: {REPOSITORY}@{sha}\n")
    proposed = json.loads(zoo_command("push", newer.path, REPOSITORY, "--create-pr", "--json").out)
    assert proposed["pull_request"].endswith("/discussions/1") and proposed["changed"]
    assert hub.repository(REPOSITORY).head.oid == sha
    pulled = zoo_command("pull", f"{REPOSITORY}@v1", tmp_path / "pulled")
    assert (pulled.code, pulled.out) == (0, f"{tmp_path / 'pulled'}: {REPOSITORY}@{sha}\n")
    assert open_checkpoint(tmp_path / "pulled").files == small.files
    offline = json.loads(zoo_command("pull", f"{REPOSITORY}@v1", tmp_path / "again", "--offline", "--json").out)
    assert (offline["repository"], offline["commit"]) == (REPOSITORY, sha)
    refused = zoo_command("pull", REPOSITORY, tmp_path / "pulled")
    assert refused.code == 2 and "exists and is not an empty directory" in refused.err


def test_show_of_a_hub_id_prints_the_card_and_says_what_was_checked(hub, newer, zoo_command):
    commit = zoo_hub.push(newer, REPOSITORY)
    shown = zoo_command("show", REPOSITORY)
    assert shown.code == 0 and shown.out.rstrip() == (newer.path / "README.md").read_text().rstrip()
    assert (
        f"{REPOSITORY}@{commit.sha}: config.json and README.md match manifest.json; the weights were not" in shown.err
    )
    config = json.loads(zoo_command("show", REPOSITORY, "--json", "--offline").out)
    assert config == json.loads((newer.path / "config.json").read_text())
    assert "every file matches manifest.json" in zoo_command("show", newer.path).err
    refused = zoo_command("show", REPOSITORY, "--leaderboard", "--offline")  # which would need the weights
    assert refused.code == 1 and "not completely in the Hub client's cache" in refused.err


def test_a_strangers_card_cannot_rewrite_the_terminal(hub, zoo_command, tmp_path):
    hostile = save(tmp_path / "hostile", task="\x1b[2Jdigits\x9b", objective="consistency\ncertified 99 %")
    zoo_hub.push(hostile, REPOSITORY)
    assert "\x1b" in json.loads((hostile.path / "config.json").read_text())["certified"]["task"]
    for words in (["show", REPOSITORY], ["show", hostile.path], ["list", "alice"]):
        said = zoo_command(*words).out
        assert "digits" in said and not {"\x1b", "\x9b"} & set(said)
    assert len(zoo_command("list", "alice").out.splitlines()) == 2


def test_show_of_a_catalog_id_downloads_nothing(zoo_command, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path / "weights"))
    shown = zoo_command("show", "resnet50.l2_eps3_imagenet")
    assert shown.code == 0 and "accuracy: 0.6283" in shown.out and "not imported yet, run zoo pull" in shown.err
    assert json.loads(zoo_command("show", "resnet50.l2_eps3_imagenet", "--json").out)["format"] == "madry"
    assert left_in(tmp_path) == []


def test_the_catalog_is_listed(zoo_command, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path))
    (tmp_path / "weights" / "resnet50.tv_v2_imagenet").mkdir(parents=True)
    table = zoo_command("list", "--catalog")
    lines = {line.split()[0]: line for line in table.out.splitlines()[1:]}
    assert table.code == 0 and set(lines) == set(CATALOG)
    assert "80.9 %" in lines["resnet50.tv_v2_imagenet"] and " yes " in lines["resnet50.tv_v2_imagenet"]
    assert " no " in lines["resnet50.tv_v1_imagenet"] and "this project did not measure it" in table.err
    assert len(json.loads(zoo_command("list", "--catalog", "--json").out)) == len(CATALOG)


@pytest.mark.parametrize("words", [["list"], ["list", "alice", "--catalog"]])
def test_list_takes_an_owner_or_the_catalog(words, zoo_command):
    done = zoo_command(*words)
    assert done.code == 2 and "zoo list takes an OWNER or --catalog" in done.err


def test_neither_list_nor_show_waits_for_what_computes(hub, newer, tmp_path):
    zoo_hub.push(newer, REPOSITORY)
    commands = [["list", "alice"], ["list", "--catalog"], ["show", REPOSITORY], ["show", str(newer.path)]]
    code = (
        "import json, sys\n"
        "from zoo.cli.app import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    sys.argv[1:] = words\n"
        "    try: main()\n"
        "    except SystemExit as ended: assert not ended.code, (words, ended.code)\n"
        "    assert not {'torch', 'torchvision', 'numpy', 'scipy'} & set(sys.modules), words"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "ZOO_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "74.2 %" in done.stdout and "# Model card for" in done.stdout


def test_the_installed_command_ends_with_one_sentence_where_the_hub_is_down(tmp_path, newer):
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "push", str(newer.path), REPOSITORY],
        capture_output=True, text=True, check=False, env=environment, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("zoo: cannot reach the Hub at http://127.0.0.1:9") and done.stderr.count("\n") == 1
