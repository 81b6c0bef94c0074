"""What an operator sees: counters that add up to what was asked, and a dashboard of metrics that exist."""

import json
import re
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.client import Client
from serving.metrics import PrometheusObserver
from serving.server.exposition import exposed, total
from serving.service.observer import Answered
from zoo.errors import RequestError

DASHBOARD = Path("deploy/grafana/dashboard.json")


def samples(text):
    """`{(name, labels without model and version): value}`, labels as a sorted tuple of pairs."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name not in ("model", "version")}
            found[sample.name, tuple(sorted(labels.items()))] = sample.value
    return found


def answered(observer, **changes):
    values = {"mode": "certify", "stopping": "fixed", "num_images": 1, "num_draws": 600, "radii": [0.7]}
    values |= {"num_abstained": 0, "family_indices": [], "deadline_reached": False, "seconds": 0.3}
    observer.answered(Answered(**{**values, **changes}))


def value(observer, name, **labels):
    return observer.registry.get_sample_value(name, {"model": "m", "version": "1.0", **labels})


def test_an_abstention_and_a_radius_fall_into_buckets_of_their_own():
    observer = PrometheusObserver(model="m", version="1.0")
    answered(observer, num_images=3, radii=[0.0, 0.7, 1.3], num_abstained=1)
    counts = [value(observer, "zoo_certified_radius_bucket", le=le) for le in ("0.0", "0.5", "0.75", "1.25", "+Inf")]
    assert counts == [1, 1, 2, 2, 3]
    assert value(observer, "zoo_certified_radius_sum") == 2.0
    assert value(observer, "zoo_images_answered_total", mode="certify") == 3
    assert value(observer, "zoo_images_abstained_total", mode="certify") == 1


def test_the_index_of_a_question_about_its_image_is_counted():
    observer = PrometheusObserver(model="m", version="1.0")
    answered(observer, num_images=3, family_indices=[1, 1, 5])
    assert [value(observer, "zoo_family_index_bucket", le=le) for le in ("1.0", "4.0", "8.0")] == [2, 2, 3]


def test_a_step_is_told_by_its_draws_its_share_and_its_seconds():
    observer = PrometheusObserver(model="m", version="1.0")
    observer.stepped(num_draws=64, capacity=256, num_open=2, seconds=0.15)
    observer.stepped(num_draws=256, capacity=256, num_open=2, seconds=0.15)
    assert value(observer, "zoo_draws_total") == 320
    assert [value(observer, "zoo_batch_fill_bucket", le=le) for le in ("0.2", "0.3", "0.9", "1.0")] == [0, 1, 1, 2]
    assert value(observer, "zoo_step_seconds_count") == 2 and value(observer, "zoo_step_seconds_sum") == 0.3


def test_whoever_was_refused_cut_off_or_went_away_is_counted_by_its_kind():
    observer = PrometheusObserver(model="m", version="1.0")
    observer.refused(error="ImageError", status=415)
    observer.refused(error="OverloadError", status=429)
    observer.forgotten(num_draws=700)
    answered(observer, mode="predict", stopping=None, radii=[], deadline_reached=True)
    assert value(observer, "zoo_requests_refused_total", error="ImageError", status="415") == 1
    assert value(observer, "zoo_requests_refused_total", error="OverloadError", status="429") == 1
    assert value(observer, "zoo_draws_forgotten_total") == 700 and value(observer, "zoo_requests_forgotten_total") == 1
    assert value(observer, "zoo_requests_answered_total", mode="predict", stopping="none") == 1
    assert value(observer, "zoo_deadlines_reached_total") == 1


def test_a_folder_without_metrics_exposes_nothing(tmp_path):
    samples = [line for line in exposed(tmp_path, num_deaths={}).splitlines() if not line.startswith(b"#")]
    assert samples == [] and total(tmp_path, "zoo_draws_total") == 0


@pytest.mark.slow
def test_scraped_from_the_running_server_the_metrics_add_up_to_what_was_asked(served, digit_pngs):
    scrape = f"{served.server.operator_url}/metrics"
    before = samples(httpx.get(scrape, timeout=60).text)
    with Client(served.url) as client:
        radii = [client.certify(image, n=300).certificate.radius for image in digit_pngs[:3]]
        several = client.predict_all(digit_pngs[:2], n=60)
        with pytest.raises(RequestError):
            client.predict(b"nothing")
    response = httpx.get(scrape, timeout=60)
    after = samples(response.text)

    def grew(name, **labels):
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0.0)

    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4") and len(several) == 2
    assert grew("zoo_draws_total") == 3 * 400 + 2 * 60
    assert grew("zoo_requests_answered_total", mode="certify", stopping="fixed") == 3
    assert grew("zoo_requests_answered_total", mode="predict", stopping="none") == 1
    assert grew("zoo_images_answered_total", mode="predict") == 2
    assert (
        grew("zoo_request_draws_sum", mode="certify") == 1200 and grew("zoo_request_draws_sum", mode="predict") == 120
    )
    assert grew("zoo_request_draws_bucket", mode="certify", le="300.0") == 0
    assert grew("zoo_request_draws_bucket", mode="certify", le="1000.0") == 3
    assert grew("zoo_certified_radius_count") == 3 and grew("zoo_certified_radius_sum") == pytest.approx(sum(radii))
    assert grew("zoo_request_seconds_count", mode="certify") == 3
    assert 0 < grew("zoo_request_seconds_sum", mode="certify") < 60
    assert grew("zoo_requests_refused_total", error="ImageError", status="415") == 1
    assert grew("zoo_step_seconds_count") == grew("zoo_batch_fill_count") >= 4
    assert after["zoo_open_requests", ()] == 0
    queued = "ts_inference_requests_total"  # TorchServe's own stand beside ours
    assert next(value for (name, _), value in after.items() if name == queued) >= 5


@pytest.mark.slow
def test_every_query_of_the_dashboard_the_rules_and_the_autoscaler_names_a_metric_that_is_exposed(served, digit_pngs):
    with Client(served.url) as client:
        client.certify(digit_pngs[0], n=100)
        with pytest.raises(RequestError):
            client.predict(b"nothing")
    text = httpx.get(f"{served.server.operator_url}/metrics", timeout=60).text
    exposed_names = set(re.findall(r"^(\w+)[{ ]", text, re.M))
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    files = [*Path("deploy/prometheus").glob("*.yml"), *Path("deploy/kubernetes").glob("*.yaml")]
    texts = [*queries, *(file.read_text() for file in files)]
    named = {name for text in texts for name in re.findall(r"\b(?:zoo|ts)_[a-z_]+\b", text)}
    assert len(queries) >= 8 and len(named) >= 10
    assert named - exposed_names == set()
