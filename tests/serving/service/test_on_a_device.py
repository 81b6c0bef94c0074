"""Requests through the service on a simulated device: the answers name it, and a step exchanges two copies."""

import json

from serving.protocol import Limits
from serving.service.loading import load_service
from tests.serving.toy import png
from tests.simulated_device import simulated_device
from tests.simulated_graphs import Graph, simulated_graphs


def answers_of(service, rows):
    """The last replies to the rows, and the number of steps."""
    answers, num_steps, rows = {}, 0, dict(rows)
    while rows:
        num_steps += 1
        for id, reply in service.step(rows).items():
            if reply.is_last:
                answers[id] = reply
                del rows[id]
    return answers, num_steps


def test_certificates_decisions_and_predictions_are_computed_on_the_device(digits_checkpoint):
    limits, image = Limits(n=300, allows_seed=True), png(90, size=8)
    prediction = {"data": image, "mode": "predict", "seed": "3"}
    with simulated_device() as traffic:
        service = load_service(digits_checkpoint, device="cuda:0", limits=limits, backend="torch", decodes_inline=True)
        answers_of(service, {"first": prediction})
        traffic.clear()
        answers, num_steps = answers_of(
            service,
            {
                "certificate": {"data": image, "seed": "1"},
                "decision": {"data": image, "stopping": "at-radius", "radius": "0.1", "seed": "2"},
                "prediction": prediction,
            },
        )
        assert traffic.copies_in.total() <= num_steps and traffic.waits.total() <= num_steps, traffic
    assert [reply.status for reply in answers.values()] == [200] * 3, answers
    assert json.loads(answers["certificate"].text)["certificate"]["backend"].startswith("torch-cuda-float32")


def test_a_compiled_network_is_compiled_before_the_first_request(digits_checkpoint, monkeypatch):
    measured = []

    def fit(base, spec, *, seconds, largest):
        measured.append(base.name)
        return 8

    monkeypatch.setattr("serving.service.loading.fit_batch_size", fit)
    prediction = {"data": png(90, size=8), "mode": "predict", "n": "50", "seed": "3"}
    limits = Limits(allows_seed=True)
    with simulated_device(), simulated_graphs(monkeypatch):
        service = load_service(
            digits_checkpoint, device="cuda:0", limits=limits, backend="compiled", decodes_inline=True
        )
        assert Graph.num_captured == 2, "the network that shows whether the device compiles, and the checkpoint's"
        answers, _ = answers_of(service, {"x": prediction})
        assert Graph.num_captured == 2 and measured == ["torch-cuda-float32"], "each size would be compiled"
    assert answers["x"].status == 200 and service.engine.sampler.backend == "torch-cuda-compiled-float32"
