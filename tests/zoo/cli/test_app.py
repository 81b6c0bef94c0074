"""The shell: light, helpful, and honest in its exit codes."""

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CARD, TABLE = ROOT / "model_cards" / "digits", ROOT / "training" / "study" / "paper" / "table4_empirical.csv"
PUBLISHED = ROOT / "leaderboard" / "published"
COMMANDS = [
    "archive", "audit", "calibrate", "card", "certify", "compare", "denoise", "evaluate", "export", "health", "import",
    "leaderboard", "list", "models", "predict", "pull", "push", "quantize", "report", "search", "serve", "show",
    "sign", "study", "train", "verify",
]  # fmt: skip


def test_help_lists_every_command_with_a_sentence(zoo_command):
    done = zoo_command("--help")
    assert done.code == 0
    listed = dict(re.findall(r"^  ([a-z]+) +(\S.*)$", done.out.partition("Train:")[2], flags=re.MULTILINE))
    assert sorted(listed) == COMMANDS and all(sentence.endswith(".") for sentence in listed.values())
    assert "..." not in done.out.partition("Train:")[2]


STARTS = """
import io, pathlib, sys
from contextlib import redirect_stderr, redirect_stdout
from zoo.cli.app import main
faults = []
def starts_without(modules, *words):
    sys.argv = ["zoo", *words]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try: main()
        except SystemExit: pass
    faults.extend(f"{' '.join(words)}: {module}" for module in modules if module in sys.modules)
runtimes = ["torch", "torchvision", "onnx", "onnxruntime", "accelerate", "timm"]
libraries = ["scipy.stats", "pandas", "statsmodels"]
heavy = [*runtimes, *libraries, "scipy", "numpy", "matplotlib", "PIL", "huggingface_hub", "httpx", "rich"]
starts_without([*heavy, "pydantic"], "--help")
for command in sys.argv_commands: starts_without(heavy, command, "--help")
starts_without(heavy, "list", "--catalog")
starts_without(heavy, "show", CARD)
starts_without([*runtimes, *libraries, "matplotlib"], "report", CARD + "/certification.tsv")
starts_without([*runtimes, *libraries, "matplotlib"], "predict", CARD + "/config.json", "--url", "ftp://nowhere")
starts_without([*runtimes, *libraries, "cryptography"], "verify", CARD)
starts_without([*runtimes, *libraries], "study", "summarize", TABLE)
starts_without([*runtimes, *libraries], "leaderboard", "build", PUBLISHED, "--output", SITE)
if not pathlib.Path(SITE, "index.html").is_file(): faults.append("no leaderboard was built")
print("\\n".join(faults))
"""


def test_a_command_imports_only_what_it_needs(tmp_path):
    """One process, in which each command imports more than those before it."""
    places = {"CARD": CARD, "TABLE": TABLE, "PUBLISHED": PUBLISHED, "SITE": tmp_path}
    named = "".join(f"{name} = {str(path)!r}\n" for name, path in places.items())
    code = f"import sys; sys.argv_commands = {COMMANDS!r}\n{named}{STARTS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


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
