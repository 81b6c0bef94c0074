"""Logs: one JSON object a line, with the reason of a failure and without what a client sent."""

import json
import logging
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from serving.server.logs import JsonLines, event_logger, reason_of_death
from serving.torchserve.log4j import log4j_configuration
from zoo.errors import CheckpointError, RequestError

SENT = "what a client sent"


def line(*, is_serving, error=None, name="serving.service.service", message="it failed", args=()):
    try:
        raise error if error is not None else ValueError
    except Exception:
        information = sys.exc_info() if error is not None else None
    record = logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, information)
    text = JsonLines(is_serving=is_serving).format(record)
    assert "\n" not in text
    return json.loads(text)


def test_a_record_is_one_line_with_its_time_level_and_place():
    told = line(is_serving=True, error=CheckpointError("weights\nare damaged"))
    assert told["time"].endswith("Z") and (told["level"], told["message"]) == ("ERROR", "it failed")
    assert (told["error"]["type"], told["error"]["message"]) == ("CheckpointError", "weights\nare damaged")
    assert told["error"]["frames"][-1].startswith("test_logs.py:") and told["error"]["frames"][-1].endswith(" line")


@pytest.mark.parametrize("error", [ValueError(SENT), RequestError(SENT)])
def test_while_requests_are_served_an_error_that_may_quote_one_is_told_by_its_type_alone(error):
    assert SENT in json.dumps(line(is_serving=False, error=error)), "the control"
    told = line(is_serving=True, error=error)
    assert SENT not in json.dumps(told) and told["error"]["type"] == type(error).__name__


def test_what_other_libraries_say_is_told_without_the_values_in_it():
    told = line(is_serving=True, name="PIL.TiffImagePlugin", message="bad tag %s", args=(SENT,))
    assert told["message"] == "bad tag %s"
    assert line(is_serving=True, message="%d requests", args=(3,))["message"] == "3 requests"


def test_the_reason_of_a_workers_death_is_found_in_json_and_in_a_traceback():
    assert reason_of_death("2026 W-9000 - Listening on port\n2026 W-9000 - Torch worker started.\n") is None
    json_line = '2026 W-9000 - {"message": "Backend worker process died.", "error": {"type": "E", "message": "why"}}'
    assert reason_of_death(f"2026 W-9000 - Torch worker started.\n{json_line}\n") == "E: why"
    lines = [
        "Backend worker process died.",
        "Traceback (most recent call last):",
        '  File "a.py"',
        "ImportError: no ts",
    ]
    assert reason_of_death("\n".join(f"2026 W-9000 - {line}" for line in lines)) == "ImportError: no ts"


def test_the_parent_writes_its_events_beside_torchserves_and_to_stderr_if_asked(tmp_path, capsys):
    logger = event_logger(tmp_path, echoes=True)
    logger.error("first")
    (tmp_path / "events.jsonl").rename(tmp_path / "events.1.jsonl")  # as TorchServe does with a full file
    logger.error("worker %d died", 7)
    text = (tmp_path / "events.jsonl").read_text()
    assert json.loads(text)["message"] == "worker 7 died" and json.loads(text)["level"] == "ERROR"
    assert capsys.readouterr().err.splitlines()[-1] == text.strip()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_full_disk_costs_the_line_alone(tmp_path, capsys):
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    event_logger(tmp_path, echoes=False).error("lost")
    assert capsys.readouterr().err == ""


def test_a_folder_of_logs_may_have_any_name(tmp_path):
    folder = tmp_path / 'a&b "c" 100%d ${sys:x}'
    for appender in ElementTree.fromstring(log4j_configuration(folder, echoes=False).encode()).iter("RollingFile"):
        name = appender.get("fileName")
        assert name.replace("$${", "${").startswith(f"{folder}/")  # Log4j reads $${ as ${
        assert appender.get("filePattern").startswith(f"{folder}/".replace("${", "$${").replace("%", "%%"))


@pytest.mark.parametrize("echoes", [True, False])
def test_the_configuration_is_xml_without_a_place_holder(echoes, tmp_path):
    text = log4j_configuration(tmp_path, echoes=echoes)
    names = [each.get("name") for each in ElementTree.fromstring(text.encode()).find("Appenders")]
    assert set(names) == {"events", "worker"} | ({"echo"} if echoes else set())
    assert "@" not in text and str(tmp_path) in text
