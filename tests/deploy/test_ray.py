"""The documents for KubeRay: pods that Kubernetes knows, and a front process that joins the cluster they describe."""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.deploy.test_files import require_accepted

CLUSTER, SERVER = [yaml.safe_load(Path(f"deploy/ray/{name}.yaml").read_text()) for name in ("cluster", "server")]
GROUPS = [CLUSTER["spec"]["headGroupSpec"], *CLUSTER["spec"]["workerGroupSpecs"]]


def pod(group):
    """The group's template as a pod, which a schema of Kubernetes describes; KubeRay's own is not in a package."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "node"}, **group["template"]}


def test_the_pods_and_the_deployment_are_such_as_kubernetes_knows():
    for document in (SERVER, *map(pod, GROUPS)):
        kubernetes_validate.validate(document, "1.37", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):  # the control
        kubernetes_validate.validate({**pod(GROUPS[0]), "spec": {"containers": [{"image": 1}]}}, "1.37", strict=True)


def test_the_front_process_joins_the_cluster_with_its_token_and_starts_what_the_command_accepts():
    (front,) = SERVER["spec"]["template"]["spec"]["containers"]
    require_accepted(["--port", "8080", *front["args"]])
    assert f"--address {CLUSTER['metadata']['name']}-head-svc:6379 --num-cpus 0" in front["command"][2]
    environments = [front["env"], *(group["template"]["spec"]["containers"][0]["env"] for group in GROUPS)]
    assert all({"name": "RAY_AUTH_MODE", "value": "token"} in environment for environment in environments)
    options = dict(word.removeprefix("--").split("=") for word in front["args"] if "=" in word)
    (workers,) = GROUPS[1:]
    assert int(options["threads"]) <= int(workers["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"])
    assert int(options["max-replicas"]) <= workers["maxReplicas"]
    constraints = Path("constraints.txt").read_text().splitlines()
    assert f"ray=={CLUSTER['spec']['rayVersion']}" in constraints
    grace = SERVER["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= int(options["drain-seconds"]) + 20
