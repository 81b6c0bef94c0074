"""The client alone: its wheel in a bare environment asks a server, and beside the whole project it changes nothing."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import zoo
from tests.test_installation import ROOT, build_wheel

FOLDER = "certified-zoo-client"
MB = 1_000_000
ASK = """
import asyncio, sys
from pathlib import Path
import zoo
from serving.client import AsyncClient, Client

url, picture = sys.argv[1], Path(sys.argv[2])
with Client(url) as client:
    answer = client.certify(picture, n=200)
    *_, last = client.certify_stream(picture, n=300)

async def ask():
    async with AsyncClient(url) as client:
        return await client.predict(picture.read_bytes(), n=50)

print(answer.certificate.n, last.final, asyncio.run(ask()).votes.n)
print(sorted({"torch", "numpy", "PIL"} & sys.modules.keys()))
try:
    zoo.smooth
except AttributeError as error:
    print(error)
"""
WHERE = "import serving.client, zoo.errors; print(serving.client.__file__, zoo.errors.__file__, hasattr(zoo, 'smooth'))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The path of the client's wheel."""
    return build_wheel(ROOT / "client", tmp_path_factory.mktemp("client-wheel"))


class Bare:
    """A virtual environment without pip and without other packages than those that are put into it."""

    def __init__(self, folder):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.folder = folder
        (self.packages,) = folder.glob("lib/python*/site-packages")

    def install(self, wheel):
        """Unpacks a wheel of pure Python without scripts, which is all that an installation of it does here."""
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.packages)

    def uninstall(self, wheel):
        """Removes the files of the wheel and no others."""
        for name in names_in(wheel):
            (self.packages / name).unlink()

    def copy(self, found: Distribution):
        """Installs a distribution that this environment has."""
        for file in found.files:
            if file.parts[0] != ".." and file.suffix != ".pyc":
                (self.packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(found.locate_file(file), self.packages / file)

    def run(self, program, *words):
        """The stdout of a program, which must succeed."""
        command = [self.folder / "bin" / "python", "-I", "-c", program, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def size(self):
        """Bytes of all installed files, compiled ones too."""
        return sum(file.stat().st_size for file in self.packages.rglob("*") if file.is_file())


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """An environment with the client's wheel and what its metadata require, as pip would choose it."""
    bare = Bare(tmp_path_factory.mktemp("bare") / "environment")
    bare.install(wheel)
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        required = re.findall(r"^Requires-Dist: (.*)$", archive.read(name).decode(), re.MULTILINE)
    for found in closure(required):
        bare.copy(found)
    return bare


def closure(required):
    """The distributions that the requirements need, without extras, and those that these need."""
    found, left = {}, [Requirement(text) for text in required]
    while left:
        requirement = left.pop()
        if requirement.name in found or not (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            found[requirement.name] = distribution(requirement.name)
        except PackageNotFoundError:  # an extra of a requirement
            continue
        left += [Requirement(text) for text in found[requirement.name].requires or ()]
    return found.values()


def names_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_client_alone_asks_a_server_in_an_environment_of_less_than_20_megabytes(bare, served, digit_pngs, tmp_path):
    (tmp_path / "digit.png").write_bytes(digit_pngs[3])
    said = bare.run(ASK, served.url, tmp_path / "digit.png").splitlines()
    assert said[:2] == ["200 True 50", "[]"]
    assert said[2].endswith("only the client is installed; pip install certified-zoo has the rest")
    packages = {path.name.partition("-")[0] for path in bare.packages.glob("*.dist-info")}
    assert {"certified_zoo_client", "httpx", "pydantic"} <= packages and packages.isdisjoint({"torch", "pillow"})
    assert 5 * MB < bare.size() < 20 * MB


def test_the_wheel_has_its_own_files_from_the_same_sources_and_all_that_they_import(wheel):
    sources = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(f"{FOLDER}/"):
                sources[name.removeprefix(f"{FOLDER}/")] = archive.read(name).decode()
        assert archive.read("certified_zoo_client.pth") == b"certified-zoo-client\n"
        assert f"certified_zoo_client-{zoo.__version__}.dist-info/METADATA" in archive.namelist()
    changed = [name for name, text in sources.items() if text != (ROOT / name).read_text()]
    assert changed == ["zoo/__init__.py"]
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in sources}
    imported = {
        node.module
        for text in sources.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
    }
    assert {name for name in imported if name.split(".")[0] in ("zoo", "serving")} <= modules


def test_with_the_whole_project_its_modules_are_imported_and_either_can_be_uninstalled(bare, wheel, tmp_path):
    whole = build_wheel(ROOT, tmp_path)
    assert names_in(whole).isdisjoint(names_in(wheel))
    bare.install(whole)
    client, errors, is_whole = bare.run(WHERE).split()
    bare.uninstall(whole)
    assert f"{os.sep}certified-zoo{os.sep}serving" in client and is_whole == "True"
    assert Path(errors).parents[1] == bare.packages / "zoo" and not (bare.packages / "zoo/errors/__init__.py").exists()
    shutil.rmtree(bare.packages / "zoo")  # its folders, and the modules that Python has compiled
    client, errors, is_whole = bare.run(WHERE).split()
    assert FOLDER in client and FOLDER in errors and is_whole == "False"
