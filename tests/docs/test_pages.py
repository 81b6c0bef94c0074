"""Every block of every page does what it says: the commands and the Python of README.md and docs/ run, page by page."""

import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from tests.docs.blocks import LANGUAGES, ROOT, Block, Command, all_blocks, all_commands, blocks_of, commands_of, pages
from tests.docs.conftest import SHAPES, draw_pictures
from tests.docs.exempt import NOT_RUN, PAGES, PARSED, PYTHON
from tests.docs.running import PageError, Runner, check, described, discard
from tests.docs.smaller import smaller
from zoo.results.log import read_log

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")

START = "docs/start.md"
ON_THE_HUB = re.compile(r"\b(you|them|owner)/")
PRINTS = {"README.md": "4 ", "docs/how-to/python.md": "4 ", "docs/reference/client.md": "4 "}
WITH_BLOCKS = sorted({block.page for block in all_blocks() if block.language in ("sh", "python")} - {START})


@pytest.fixture(scope="module")
def finished():
    """The commands that a page has run."""
    return set()


@pytest.fixture
def runner(place, url, zoo_command, monkeypatch, finished):
    """Runs blocks in a copy of the base folder."""
    return Runner(place, url=url, zoo=zoo_command, monkeypatch=monkeypatch, finished=finished)


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_the_blocks_of_a_page_run_one_after_the_other(page, runner, request):
    if ON_THE_HUB.search((ROOT / page).read_text()):
        request.getfixturevalue("pushed")
    for block in blocks_of(ROOT / page):
        runner.run(block)
    assert PRINTS.get(page, "") in runner.printed


def test_a_clone_has_what_the_first_commands_need(tmp_path, monkeypatch):
    """`make setup` is not run: it makes the environment that runs the tests."""
    if not (ROOT / ".git").exists():
        pytest.skip("the sources are not a clone")
    monkeypatch.chdir(tmp_path)
    clone, cd, setup, activate = [command.words for command in commands_of(next(blocks_of(ROOT / START)))]
    assert clone[:3] == ["git", "clone", "ADDRESS"] and activate == [".", ".venv/bin/activate"]
    subprocess.run([*("git", "clone", "--quiet"), str(ROOT), *clone[3:]], check=True)
    monkeypatch.chdir(cd[1])
    done = subprocess.run([*setup, "--dry-run"], capture_output=True, text=True, check=True)
    installation = [line for line in done.stdout.splitlines() if "pip install" in line]
    assert len(installation) == 1 and "--editable '.[demo,dev,docs]'" in installation[0]
    assert (tmp_path / cd[1] / "constraints.txt").is_file()


@contextmanager
def served(words):
    """Runs `zoo serve`; gives the addresses of the predictions and of the page."""
    command = [sys.executable, "-m", *smaller(words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline() for _ in range(2)]
        assert [line.split(":")[0] for line in lines] == ["ready", "page"], process.communicate(timeout=60)
        yield [line.split()[-1] for line in lines]
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


def test_a_newcomer_comes_from_sixty_pictures_to_an_answer_with_a_certificate(runner):
    """The page start.md: every command but those of the first block, which a test above runs or leaves out."""
    for name in ("rows.tsv", "pictures", "my-model"):
        discard(runner.folder / name)
    draw_pictures(runner.folder / "pictures", num_per_class=20)
    _, *blocks = [block for block in blocks_of(ROOT / START) if block.language == "sh"]
    *before, serve, ask = blocks
    for block in before:
        runner.run(block)
    (command,) = commands_of(serve)
    check(command)
    with served(command.words) as (runner.url, page):
        runner.run(ask)
        assert "<html" in httpx.get(page, trust_env=False).text
    rows = read_log(runner.folder / "rows.tsv")
    assert rows and (runner.folder / "curve.png").stat().st_size > 0
    assert '"certificate"' in runner.printed and '"radius"' in runner.printed
    assert any(f'"class_name": "{name}"' in runner.printed for name in (*SHAPES, None)) or "null" in runner.printed


def test_a_block_has_a_language_and_no_command_hides_in_a_text():
    assert {block.language for block in all_blocks()} <= LANGUAGES
    command = re.compile(r"^\s*(zoo|make|pip|python|curl|torchrun|git) [a-z-]", re.MULTILINE)
    assert [str(block) for block in all_blocks("text") if command.search(block.text)] == []
    indented = re.compile(r"^    (zoo|make|pip|python|curl|torchrun|git) ", re.MULTILINE)
    assert [path.name for path in pages() if indented.search(path.read_text())] == []


def test_every_exemption_is_needed_and_has_a_reason():
    commands = [described(command) for command in all_commands()]
    blocks = [f"{block.page}: {block.text}" for block in all_blocks("python")]
    unused = [p for p in (*PARSED, *NOT_RUN) if not any(re.search(p, text) for text in commands)]
    unused += [p for p in PYTHON if not any(re.search(p, text) for text in blocks)]
    assert unused == []
    assert all(len(reason) > 20 for table in (PARSED, NOT_RUN, PYTHON, PAGES) for reason in table.values())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zoo certify my-model --task digits --draws 100 --output rows.tsv", "No such option: --draws"),
        ("zoo serve my-model --ui --quick", "No such option: --quick"),
        ("zoo models swap NAME 2.0", "there is no command zoo models"),
        (
            "zoo train --task pets --objective consistency --set objective.sigm=1 --output x",
            "no field 'objective.sigm'",
        ),
        ("zoo train --task pets --objective consistency --recipe papr --output x", "unknown recipe"),
        ("zoo train --task pet --objective consistency --output x", "unknown task"),
        ("zoo pull resnet50.l2_eps9_imagenet x", "unknown catalog id"),
        ("zoo search --task pets --objective consistency --grid optimizer.rate=1,2 --output x", "optimizer.rate"),
    ],
)
def test_a_command_that_is_only_parsed_has_to_exist_with_its_options_and_names(text, says):
    with pytest.raises(PageError, match=re.escape(says)):
        check(Command("page.md", 1, text))


@pytest.mark.parametrize(
    ("language", "text", "says"),
    [
        ("sh", "zoo report nothing.tsv\n", "nothing.tsv"),
        ("sh", "curl -s -F data=@digit.png -F n=no http://127.0.0.1:8080/predictions/NAME\n", "400"),
        ("python", "import zoo\n\nzoo.smoth('my-model')\n", "smoth"),
    ],
)
def test_a_block_that_does_not_run_is_found(language, text, says, runner):
    with pytest.raises((PageError, AttributeError), match=says):
        runner.run(Block("page.md", 1, language, text))
