"""The shell: light, helpful, and honest in its exit codes."""

import asyncio
import re
import signal
import subprocess
import sys

import pytest

COMMANDS = [
    "archive", "audit", "calibrate", "card", "certify", "denoise", "evaluate", "export", "health", "import",
    "leaderboard", "list", "models", "predict", "pull", "push", "quantize", "report", "search", "serve", "show",
    "sign", "study", "train", "verify",
]  # fmt: skip


def test_help_lists_every_command_with_a_sentence(zoo_command):
    done = zoo_command("--help")
    assert done.code == 0
    listed = dict(re.findall(r"^  ([a-z]+) +(\S.*)$", done.out.partition("Commands:")[2], flags=re.MULTILINE))
    assert sorted(listed) == COMMANDS and all(" " in sentence for sentence in listed.values())


def test_help_imports_nothing_that_computes():
    code = (
        "import sys; sys.argv = ['zoo', '--help']\n"
        "from zoo.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'scipy', 'pydantic', 'huggingface_hub', 'httpx', 'matplotlib', 'PIL'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, zoo_command):
    done = zoo_command(command, "--help")
    assert done.code == 0 and f"zoo {command}" in done.out


@pytest.mark.parametrize(
    "words", [["nonsense"], ["train"], ["report"], ["report", "--nonsense"], ["serve", "x", "--port", "99999"]]
)
def test_wrong_usage_ends_with_code_2(words, zoo_command):
    assert zoo_command(*words).code == 2


def test_an_error_is_one_line_and_a_traceback_comes_with_debug(zoo_command):
    plain = zoo_command("report", "no-such-file.tsv")
    assert (plain.code, plain.out) == (2, "")
    assert plain.err.startswith("zoo: no-such-file.tsv cannot be read") and len(plain.err.splitlines()) == 1
    assert "Traceback" in zoo_command("report", "no-such-file.tsv", "--debug").err


def test_a_defect_is_said_to_be_one(zoo_command, monkeypatch):
    def broken(path):
        raise RuntimeError("boom")

    monkeypatch.setattr("zoo.results.log.read_log", broken)
    done = zoo_command("report", "x.tsv")
    assert done.code == 1 and "a defect, please report it: RuntimeError: boom" in done.err


def test_ctrl_c_ends_any_command_with_130(zoo_command, monkeypatch):
    def interrupted(*words, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.results.log.read_log", interrupted)
    done = zoo_command("report", "x.tsv")
    assert (done.code, done.err) == (130, "zoo: interrupted\n")


def test_ctrl_c_ends_a_waiting_command_with_130(zoo_command, monkeypatch, tmp_path):
    async def waiting(*words, **named):
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(60)
        yield  # pragma: no cover

    (tmp_path / "x.png").touch()
    monkeypatch.setattr("serving.commands.batch_prediction.by_server", waiting)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = zoo_command("predict", tmp_path / "x.png", "--url", "http://127.0.0.1:9/predictions/x")
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.code == 130 and done.err.endswith("zoo: interrupted\n")


def test_a_message_cannot_steer_the_terminal(zoo_command):
    assert "\x1b" not in zoo_command("report", "no\x1b[31m.tsv").err


def test_show_prints_the_card_and_with_json_the_config(zoo_command, digits_checkpoint):
    assert "# Model card for resnet10-quarter.consistency_s50_digits" in zoo_command("show", digits_checkpoint.path).out
    assert '"certified"' in zoo_command("show", digits_checkpoint.path, "--json").out


def test_the_version_is_printed(zoo_command):
    from zoo import __version__

    assert zoo_command("--version").out.strip() == __version__
