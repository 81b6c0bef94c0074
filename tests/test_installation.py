"""The wheel, installed outside the checkout, breaks no files of a user, and no file of a user breaks the wheel."""

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.zoo.cli.test_app import COMMANDS
from training.tasks import open_task
from zoo import __version__
from zoo.checkpoints.checkpoint import open_checkpoint

ROOT = Path(__file__).parents[1]
IN_THE_FOLDER = ("training", "serving", "handlers")
TINY = [
    "--task", "digits", "--architecture", "resnet10-quarter", "--objective", "gaussian", "--limit-per-class", 4,
    "--set", "epochs=1", "--set", "batch_size=20", "--set", "validation_share=0", "--device", "cpu",
]  # fmt: skip
THEIRS = "raise RuntimeError('a module of the user was imported instead of ours')\n"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The path of the wheel, built from the checkout."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def build_wheel(project, folder):
    """The path of the wheel of a project's folder, built into `folder`."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=project, check=True)
    (built,) = folder.glob("*.whl")
    return built


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel in it."""

    scripts: Path

    def start(self, program, *words, cwd, **variables):
        """Starts a program of the environment, without the variables that change where Python imports from."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.Popen(
            [self.scripts / program, *(str(word) for word in words)],
            cwd=cwd,
            env={**kept, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in variables.items()}},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, program, *words, cwd, **variables):
        """The stdout of a program, which must succeed."""
        process = self.start(program, *words, cwd=cwd, **variables)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, out + err
        return out


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """A new environment with the wheel, which uses the libraries of this environment but not its editable zoo."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    borrowed = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    (packages / "borrowed.pth").write_text("\n".join(borrowed))
    torchrun = folder / "bin" / "torchrun"
    torchrun.write_text(f"#!{python}\nfrom torch.distributed.run import main\n\nmain()\n")
    torchrun.chmod(0o755)
    return Environment(scripts=folder / "bin")


def with_modules_of_a_user(folder):
    """The new folder, with a user's modules. One has the name of a library that we import."""
    folder.mkdir()
    for name in (*IN_THE_FOLDER, "yaml"):
        (folder / f"{name}.py").write_text(THEIRS)
    return folder


@pytest.fixture
def place(tmp_path):
    """A working folder with a user's modules."""
    return with_modules_of_a_user(tmp_path / "place")


@pytest.fixture(scope="session")
def on_pythonpath(tmp_path_factory):
    """A folder for PYTHONPATH, which precedes site-packages, like another distribution with the same names."""
    folder = tmp_path_factory.mktemp("pythonpath")
    for name in IN_THE_FOLDER:
        (folder / f"{name}.py").write_text(THEIRS)
    return folder


@pytest.fixture(scope="session")
def trained(installed, on_pythonpath, tmp_path_factory):
    """The checkpoint that the module wrote with a user's modules in the working folder and on PYTHONPATH."""
    cwd = with_modules_of_a_user(tmp_path_factory.mktemp("trained") / "place")
    installed.run("python", "-m", "zoo", "train", *TINY, "--output", "model", cwd=cwd, PYTHONPATH=on_pythonpath)
    return cwd / "model"


def test_only_zoo_is_a_name_in_site_packages_and_the_wheel_holds_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert archive.read("certified_zoo.pth") == b"certified-zoo\n"
    metadata = f"certified_zoo-{__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"zoo", "certified-zoo", "certified_zoo.pth", metadata}
    packages = {"zoo": "zoo"} | {name: f"certified-zoo/{name}" for name in IN_THE_FOLDER}
    sources = {
        f"{inside}/{path.relative_to(ROOT / package).as_posix()}"
        for package, inside in packages.items()
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    assert {name for name in names if not name.startswith(metadata)} == {*sources, "certified_zoo.pth"}
    studies = {f"certified-zoo/training/study/studies/{name}.yaml" for name in ("miniature", "paper", "pictures")}
    assert {"zoo/cards/template.md.j2", *studies} <= names


def test_the_script_and_the_module_list_the_same_commands(installed, place):
    listed = installed.run("zoo", "--help", cwd=place)
    assert installed.run("python", "-m", "zoo", "--help", cwd=place) == listed
    assert sorted(re.findall(r"^  ([a-z]+) ", listed.partition("Train:")[2], re.M)) == COMMANDS


def test_every_command_explains_itself(installed, on_pythonpath, tmp_path):
    program = (
        "import sys\nfrom zoo.cli.app import main\n"
        "for command in sys.argv[1:]:\n"
        "    sys.argv[1:] = [command, '--help']\n"
        "    try: main()\n"
        "    except SystemExit as ended: assert ended.code == 0, command\n"
    )
    out = installed.run("python", "-c", program, *COMMANDS, cwd=tmp_path, PYTHONPATH=on_pythonpath)
    assert re.findall(r"^ *Usage: zoo ([a-z]+)", out, re.M) == COMMANDS


def test_a_built_in_study_is_planned_by_its_name(installed, on_pythonpath, tmp_path):
    out = installed.run("zoo", "study", "plan", "miniature", "--json", cwd=tmp_path, PYTHONPATH=on_pythonpath)
    assert {run["task"].partition("#")[0] for run in json.loads(out)["runs"]} == {"fashion-mnist", "digits"}


def test_the_module_trains_in_a_folder_with_modules_of_the_same_names(trained):
    assert open_checkpoint(trained).spec.certified.objective == "gaussian"


def test_the_module_imports_libraries_from_the_working_folder_only_where_zoo_itself_lies_there(installed, tmp_path):
    (tmp_path / "typer.py").write_text("raise SystemExit(77)")
    installed.run("python", "-m", "zoo", "--help", cwd=tmp_path)
    (tmp_path / "zoo").symlink_to(next(installed.scripts.parent.glob("lib/python*/site-packages/zoo")))
    process = installed.start("python", "-m", "zoo", "--help", cwd=tmp_path)
    process.communicate(timeout=60)
    assert process.returncode == 77


@pytest.mark.slow
def test_two_processes_of_torchrun_train_in_such_a_folder(installed, place):
    words = ["-m", "zoo", "--", "train", *TINY, "--output", "model"]
    installed.run("torchrun", "--standalone", "--nproc-per-node", 2, *words, cwd=place)
    assert "2 processes" in open_checkpoint(place / "model").spec.certified.batch_statistics


def test_a_process_that_a_command_spawns_imports_our_packages(installed, on_pythonpath, tmp_path):
    (tmp_path / "program.py").write_text(
        "import multiprocessing\nimport sys\nfrom zoo.cli.app import main\n\n"
        "if __name__ == '__main__':\n"
        "    try: main()\n"
        "    except SystemExit: pass\n"
        "    from training.study.built_in import find_study\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(find_study, ['miniature']))\n"
    )
    out = installed.run("python", "program.py", "--version", cwd=tmp_path, PYTHONPATH=on_pythonpath)
    assert out.endswith("/certified-zoo/training/study/studies/miniature.yaml\n")


def test_a_program_gets_zoo_and_its_own_training_in_spawned_loader_workers_too(installed, trained, place):
    (place / "yaml.py").unlink()
    (place / "training.py").write_text(
        "from dataclasses import dataclass\n"
        "import zoo\nfrom PIL import Image\n\n"
        "@dataclass\n"
        "class Pictures:\n"
        "    network: zoo.CertifiedNetwork\n\n"
        "    def __len__(self): return 2\n\n"
        "    def __getitem__(self, index): return zoo.preprocess(Image.new('L', (8, 8), 9 * index), self.network)\n"
    )
    (place / "program.py").write_text(
        "import sys\nimport training\nimport zoo\nfrom torch.utils.data import DataLoader\n\n"
        "if __name__ == '__main__':\n"
        "    network = zoo.load(sys.argv[1])\n"
        "    pictures = training.Pictures(network)\n"
        "    (x_BCHW,) = DataLoader(pictures, batch_size=2, num_workers=1, multiprocessing_context='spawn')\n"
        "    print(training.__file__, *network(x_BCHW).shape)\n"
    )
    out = installed.run("python", "program.py", trained, cwd=place)
    assert out.split() == [str(place / "training.py"), "2", "10"]


def test_a_program_without_such_modules_imports_the_client_from_the_wheel(installed, tmp_path):
    out = installed.run("python", "-c", "import serving.client as c; print(c.Client, c.__file__)", cwd=tmp_path)
    assert "/site-packages/certified-zoo/serving/client" in out


@pytest.mark.slow
def test_a_server_answers_a_prediction_among_modules_of_the_same_names(
    installed, trained, on_pythonpath, place, tmp_path
):
    (place / "yaml.py").unlink()
    open_task("digits", data_dir=tmp_path).test[0].save(tmp_path / "digit.png")
    theirs = os.pathsep.join(["", str(on_pythonpath)])  # the empty entry is the working folder
    request = [tmp_path / "digit.png", "--n", 100, "--json"]
    server = installed.start(
        "zoo", "serve", trained, "--port", 0, "--device", "cpu", "--backend", "torch", cwd=place, PYTHONPATH=theirs
    )
    try:
        ready = server.stdout.readline()
        assert ready.startswith("ready:"), server.communicate()[1]
        started = psutil.Process(server.pid).children(recursive=True)
        out = installed.run("zoo", "predict", *request, "--url", ready.split()[-1], cwd=place, PYTHONPATH=theirs)
        assert json.loads(out)["certificate"]["n"] == 100
    finally:
        server.send_signal(signal.SIGTERM)
        _, err = server.communicate(timeout=60)
    assert server.returncode == 0, err
    assert not psutil.wait_procs(started, timeout=10)[1]
