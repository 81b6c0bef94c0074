"""`zoo compare`: its output, and the files next to the logs that forbid a comparison."""

import json

import pytest

from tests.zoo.results.test_log import row as certified_row
from training.evaluation.run_record import run_record_path
from zoo.results.log import HEADER, format_row


@pytest.fixture
def write(tmp_path):
    """A function that writes a log with a record of its run."""

    def written(name, counts, **recorded):
        rows = [certified_row(count, idx=idx) for idx, count in enumerate(counts)]
        path = tmp_path / name
        path.write_text("\n".join([HEADER, *map(format_row, rows)]) + "\n")
        record = {"task": "digits", "data": "", "preprocessing": {"crop": 32, "resize": 32}, **recorded}
        run_record_path(path).write_text(json.dumps({**record, "class_names": ["a", "b", "c", "d", "[e]"]}))
        return path

    return written


def test_two_logs_are_compared_in_lines_for_a_pipe_in_json_and_as_a_figure(zoo_command, write, tmp_path):
    first, second = write("a.tsv", [999] * 6 + [700]), write("b.tsv", [999] * 2 + [400] * 4 + [990])
    done = zoo_command("compare", first, second, "--list", 2, "--figure", tmp_path / "both.png")
    assert done.code == 0 and (tmp_path / "both.png").stat().st_size > 0
    lines = dict(line.split("\t", 1) for line in done.out.splitlines() if "\t" in line)
    first_share, second_share, difference, *counts = lines["0.5"].split("\t")
    assert first_share.startswith("85.7 (42.1 to ") and second_share.startswith("42.9 (")
    assert difference.startswith("-42.9 (-") and counts == ["4, 1", "1"]
    assert "5 images changed their prediction or crossed one of the radii; the 2 with" in done.out
    assert "abstains" in done.out and "[e]" in done.out and "not equal" not in done.out
    told = json.loads(zoo_command("compare", first, second, "--radii", "0.5", "--json").out)
    assert [share["radius"] for share in told["shares"]] == [0.5, None] and len(told["changed"]) == 5
    assert (told["file_a"], told["num_images"], told["shares"][0]["only_a"]) == (str(first), 7, 4)


@pytest.mark.parametrize(
    ("recorded", "says"),
    [
        ({"task": "fashion-mnist"}, "different tasks, digits and fashion-mnist"),
        ({"preprocessing": {"crop": 64, "resize": 64}}, "inputs of 32 and 64 pixels a side"),
        ({"data": "other"}, None),
    ],
)
def test_the_records_of_the_runs_forbid_an_unfair_comparison(zoo_command, write, recorded, says):
    done = zoo_command("compare", write("a.tsv", [999]), write("b.tsv", [999], **recorded))
    if says is None:  # only one of the records names the data
        assert done.code == 0 and "no image changed" in done.out
    else:
        assert done.code == 2 and says in done.err and done.out == "" and len(done.err.splitlines()) == 1


def test_what_differs_or_is_not_recorded_is_stated(zoo_command, write):
    first, second = write("a.tsv", [999]), write("b.tsv", [999], preprocessing={"crop": 32, "resize": 40})
    assert "not equal: the resize of the pictures differs: 32 and 40" in zoo_command("compare", first, second).out
    run_record_path(second).unlink()
    assert "not equal: no file next to the logs records the input" in zoo_command("compare", first, second).out
