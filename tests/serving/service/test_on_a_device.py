"""Requests through the service on a simulated device: the answers name it, and a step exchanges two copies."""

import json

from serving.protocol import Limits
from serving.service.loading import load_service
from tests.serving.toy import png
from tests.simulated_device import simulated_device


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
