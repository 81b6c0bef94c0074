"""The check of the tasks' download addresses, rehearsed."""

import pytest

from examples.network_check.task_check import task_addresses
from training.tasks.table import PUBLISHED, TASKS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")

TASKS_ONLY = ("--parts", "tasks")


def test_an_address_that_refuses_head_is_asked_for_one_byte(rehearsal):
    rehearsal.site.refuse_head = True
    assert rehearsal.run(*TASKS_ONLY) == 0
    assert rehearsal.record["steps"][rehearsal.zipped]["facts"]["size"] == 3000
    assert [method for method, *_ in rehearsal.site.requests] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    ("path", "message"),
    [("/data.zip", "answered with a web page instead of a file"), ("/gone.zip", "/gone.zip answered 404")],
)
def test_an_address_without_the_file_fails(path, message, rehearsal):
    rehearsal.site.types["/data.zip"] = "text/html; charset=utf-8"
    rehearsal.addresses = {"zipped": (rehearsal.site.url + path,)}
    assert rehearsal.run(*TASKS_ONLY) == 1
    assert message in rehearsal.sentence(rehearsal.zipped)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/data.zip", "http://[::x/data.zip", "ftp://127.0.0.1/data.zip"])
def test_an_address_that_is_not_reached_is_named(url, rehearsal):
    rehearsal.addresses = {"zipped": (url,)}
    assert rehearsal.run(*TASKS_ONLY) == 1
    assert rehearsal.sentence(rehearsal.zipped).startswith(f"{url} was not reached")


def test_every_task_has_addresses_or_a_sentence_that_says_why_not():
    addresses = task_addresses()
    assert addresses.keys() == TASKS.keys()
    downloading = {task.name for task in PUBLISHED if task.downloads} | {"fashion-mnist"}
    assert {name for name, urls in addresses.items() if isinstance(urls, tuple)} == downloading
    for urls in addresses.values():
        assert isinstance(urls, str) or (urls and all(url.startswith("http") for url in urls))
