"""What lies under deploy/ is checked by its own linters, and names options, files and probes that exist."""

import json
import re
import subprocess
import sysconfig
from pathlib import Path

import promql_parser
import pytest
import typer
import yaml

from serving.commands.serve import serve

DEPLOY = Path("deploy")
DOCKERFILES = sorted(DEPLOY.glob("docker/Dockerfile.*"))
MANIFESTS = [
    document for file in sorted(DEPLOY.glob("kubernetes/*.yaml")) for document in yaml.safe_load_all(file.read_text())
]


def manifest(kind):
    (found,) = [each for each in MANIFESTS if each["kind"] == kind]
    return found


def require_accepted(words):
    """Raises where `zoo serve` would refuse the words as unknown or malformed."""
    app = typer.Typer()
    app.command()(serve)
    typer.main.get_command(app).make_context("serve", list(words))


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_hadolint_finds_nothing_in_a_dockerfile(file, tmp_path):
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([hadolint, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (tmp_path / "Dockerfile").write_text(file.read_text().replace("FROM python:3.11-slim-bookworm", "FROM python"))
    assert subprocess.run([hadolint, tmp_path / "Dockerfile"], capture_output=True).returncode != 0, "the control"


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_a_dockerfile_copies_what_exists_and_starts_what_the_command_accepts(file):
    text = file.read_text()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M):
        assert all(Path(source).exists() for source in sources.split()), sources
    (entrypoint,) = re.findall(r"^ENTRYPOINT (.+)$", text, re.M)
    program, command, *words = json.loads(entrypoint)
    assert (program, command) == ("zoo", "serve")
    require_accepted([*words, "/models/model"])
    assert "USER 10001" in text and "probe.py" in text


@pytest.mark.parametrize("document", MANIFESTS, ids=lambda document: document["kind"])
def test_a_manifest_is_one_that_kubernetes_knows(document):
    import kubernetes_validate

    kubernetes_validate.validate(document, "1.37", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):  # the control
        kubernetes_validate.validate({**document, "spec": {**document["spec"], "unknown": 1}}, "1.37", strict=True)


def test_the_deployment_gives_a_drain_its_time_and_asks_the_probe_not_ping():
    spec = manifest("Deployment")["spec"]["template"]["spec"]
    server, proxy = spec["containers"]
    require_accepted(server["args"])
    drain = int(server["args"][server["args"].index("--drain-seconds") + 1])
    wait = int(server["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] >= wait + drain + 20
    questions = {name: server[name]["exec"]["command"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert [words[-2:] for words in questions.values()] == [
        ["/opt/zoo/probe.py", "ready"],
        ["/opt/zoo/probe.py", "ready"],
        ["/opt/zoo/probe.py", "live"],
    ]
    assert all("COPY deploy/probe.py /opt/zoo/probe.py" in file.read_text() for file in DOCKERFILES)
    assert "ping" not in json.dumps(MANIFESTS)
    assert proxy["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_what_refers_to_the_deployment_names_it():
    deployment, labels = manifest("Deployment"), {"app": "certified-zoo"}
    assert deployment["spec"]["template"]["metadata"]["labels"] == labels
    assert manifest("Service")["spec"]["selector"] == labels
    assert manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    assert manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    autoscaler = manifest("HorizontalPodAutoscaler")["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    (metric,) = [each["pods"]["metric"]["name"] for each in autoscaler["metrics"]]
    (rule,) = yaml.safe_load((DEPLOY / "prometheus/adapter.yml").read_text())["rules"]["custom"]
    assert rule["name"]["matches"] == metric


def test_the_scrape_names_the_port_of_the_images_and_the_rules_are_yaml():
    (job,) = yaml.safe_load((DEPLOY / "prometheus/scrape.yml").read_text())["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    port = target.rpartition(":")[2]
    assert all(f'"--metrics-port", "{port}"' in file.read_text() for file in DOCKERFILES)
    (group,) = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    assert all({"alert", "expr", "annotations"} <= rule.keys() for rule in group["rules"])


def test_every_query_is_one_that_prometheus_reads():
    dashboard = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    (group,) = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    queries += [rule["expr"] for rule in group["rules"]]
    for query in queries:
        promql_parser.parse(query.replace("$__rate_interval", "1m"))
    with pytest.raises(ValueError):  # the control
        promql_parser.parse(queries[0] + ")")
