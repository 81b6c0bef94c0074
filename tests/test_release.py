"""What a release and a stranger rely on: one version everywhere, a citation, forms and workflows that can be read."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import yaml

import zoo
from serving.description.document import VERSION
from training.study.result import RunResult
from zoo.cards.leaderboard_schema import LeaderboardEntry
from zoo.leaderboard.published import PublishedResult
from zoo.models.migration import SCHEMA_VERSION
from zoo.results.calibration import Calibration

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read_yaml(name):
    return yaml.safe_load((ROOT / name).read_text())


def test_the_version_is_the_same_everywhere():
    assert PROJECT["version"] == zoo.__version__ == read_yaml("CITATION.cff")["version"]
    assert f"\n## {zoo.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_has_the_keys_that_the_format_requires_and_no_others():
    """The rules of the schema of Citation File Format 1.2.0 for the keys that the file has."""
    citation = read_yaml("CITATION.cff")
    required = {"cff-version", "message", "title", "authors"}
    assert required <= citation.keys() <= required | {"type", "version", "license", "keywords", "references"}
    assert citation["cff-version"] == "1.2.0" and citation["type"] in ("software", "dataset")
    assert citation["license"] == PROJECT["license"] and len(set(citation["keywords"])) == len(citation["keywords"])
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= reference.keys()
        assert reference["type"] in ("article", "conference-paper") and reference.get("year", 2000) in range(1990, 2100)
        assert reference.get("url", "https://").startswith("https://")
    for author in (*citation["authors"], *(each for work in citation["references"] for each in work["authors"])):
        assert author.keys() in ({"name"}, {"family-names", "given-names"}) and all(author.values())


def test_the_versions_of_the_formats_are_those_of_the_page():
    page = (ROOT / "docs/reference/files.md").read_text()
    rows = dict(re.findall(r"^\| ([^|]+?) \| [^|]+ \| ([\d.]+) \|$", page, flags=re.MULTILINE))
    manifest = read_yaml("model_cards/digits/manifest.json")

    def version_of(model):
        field = model.model_fields["schema_version"]
        return str((get_args(field.annotation) or [field.default])[0])

    assert rows == {
        "`config.json`": str(SCHEMA_VERSION),
        "`manifest.json`": str(manifest["schema_version"]),
        "`calibration.json`": version_of(Calibration),
        "leaderboard entry (`schemas/leaderboard.schema.json`)": version_of(LeaderboardEntry),
        "published results (`schemas/published.schema.json`)": version_of(PublishedResult),
        "a study's results": version_of(RunResult),
        "HTTP (`schemas/openapi.json`)": VERSION,
    }


@pytest.mark.parametrize("path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.name)
def test_a_form_has_what_the_host_of_the_repository_requires(path):
    form = yaml.safe_load(path.read_text())
    if path.name == "config.yml":
        assert form.keys() <= {"blank_issues_enabled", "contact_links"}
        return
    assert {"name", "description", "body"} <= form.keys()
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert ids and len(set(ids)) == len(ids)
    assert all(field["attributes"].get("label") or field["attributes"].get("value") for field in form["body"])


def test_a_release_builds_what_the_repository_has():
    workflow = read_yaml(".github/workflows/release.yml")
    text = (ROOT / ".github/workflows/release.yml").read_text()
    assert workflow[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads the key `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    for path in (".ci/run", "docs/contributing/release.md", "client", "CHANGELOG.md", "zoo/__init__.py"):
        assert path in text and (ROOT / path).exists()
    (line,) = re.findall(r'^__version__ = "(.*)"$', (ROOT / "zoo/__init__.py").read_text(), flags=re.MULTILINE)
    assert line == zoo.__version__


def test_every_extra_that_a_text_names_exists():
    texts = [path for folder in ("zoo", "training", "serving", "docs") for path in (ROOT / folder).rglob("*.[pm][yd]")]
    named = {
        extra
        for path in (*texts, ROOT / "README.md")
        for listed in re.findall(r"(?:certified-zoo|['\"]\.)\[([\w,]+)\]", path.read_text())
        for extra in listed.split(",")
    }
    assert {"cuda", "datasets", "imagenet"} <= named <= PROJECT["optional-dependencies"].keys()
