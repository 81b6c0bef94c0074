"""Many clients at once, by the benchmark's own clients, which check every answer; and who waits for whom."""

import pytest

from benchmarks.serving_load import load, sure_pictures
from serving.protocol import Limits
from serving.service.service import InferenceService
from tests.serving.conftest import on_each_engine
from tests.serving.service.test_service import SMALL, Brightness, png
from training.tasks import open_task
from zoo.loading.backend import open_backend

STEP = 64
LONG = {
    "fixed": {"n": b"50000"},
    "anytime": {"stopping": b"anytime", "tolerance": b"0", "n": b"50000"},
    "at-radius": {"stopping": b"at-radius", "radius": b"0.01", "n": b"50000"},
}


@on_each_engine
@pytest.mark.slow
def test_sixty_four_clients_at_a_server_with_room_for_twelve_lose_no_answer_and_get_none_wrong(served, tmp_path):
    task = open_task("digits", data_dir=tmp_path)
    pictures = sure_pictures(served.checkpoint, open_backend(served.checkpoint), task, count=6)
    workers = {each.pid for each in served.server.processes()}
    seen = load(served.url, pictures, clients=64, requests=120)
    assert (seen.wrong, seen.lost, seen.answered) == ([], [], 120)
    assert all(len(times) >= 12 for times in seen.seconds.values())
    assert seen.told_to_wait > 0, "with so many clients some must have been refused for a while"
    assert {each.pid for each in served.server.processes()} == workers


@pytest.mark.parametrize("stopping", LONG)
@pytest.mark.parametrize("num_draws", [[32], [16, 16], [8] * 4])
def test_predictions_of_half_a_step_beside_a_certification_are_answered_by_the_second_call(stopping, num_draws):
    limits = Limits(n=300, max_n=50_000, max_pixels=1000)
    service = InferenceService(Brightness(), SMALL, sigma=0.25, model_sha256="ab", limits=limits, batch_size=STEP)
    certification = {"long": {"data": png(128), **LONG[stopping]}}
    for _ in range(3):
        assert not service.step(certification)["long"].is_last
    predictions = {
        place: {"data": png(255), "mode": b"predict", "n": str(n).encode()} for place, n in enumerate(num_draws)
    }
    waiting = certification | predictions
    for _ in range(2):
        waiting = {id: waiting[id] for id, reply in service.step(waiting).items() if not reply.is_last}
    assert list(waiting) == ["long"]
