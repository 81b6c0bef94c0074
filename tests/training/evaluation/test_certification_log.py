"""Whatever a kill leaves behind, the log ends with every finished row once, in the order of the images."""

from dataclasses import replace

import pytest

from tests.training.ranks import in_threads
from training.distributed import SINGLE_PROCESS
from training.evaluation.certification_log import CertificationLog, CertificationRun, log_text
from training.evaluation.run_log import part_path
from training.evaluation.run_record import run_record_path
from zoo.errors import LogError
from zoo.models.spec import Preprocessing
from zoo.results.log import HEADER, format_row, read_log, row_of
from zoo.smoothing import Certificate, SmoothingSpec

RUN = CertificationRun(
    model_sha256="ab" * 32, preprocessing=Preprocessing(resize=32, crop=32), task="digits", data="",
    smoothing=SmoothingSpec(sigma=0.5, n=100), backend="torch-cpu-float32", batch_size=64,
    seed=0,
)  # fmt: skip
INDICES = list(range(0, 90, 10))


def row(idx, *, seconds=1.0, label=4):
    certificate = Certificate(
        label=label, radius=0.4, p_a_lower=0.8, count_a=95, count_b=3, sigma=0.5, n0=100, n=100, alpha=0.001,
        backend=RUN.backend,
    )  # fmt: skip
    count_label = 95 if label == 4 else 2
    return row_of(certificate, idx=idx, label=4, count_label=count_label, seconds=seconds, seed=0)


ROWS = [row(idx) for idx in INDICES]


class Files:
    """A log and its parts as some run may have left them."""

    def __init__(self, folder):
        self.log = CertificationLog(folder / "log.tsv", RUN)
        self.path = self.log.path

    def begin(self, rows):
        self.log.merge(INDICES, SINGLE_PROCESS)
        self.path.write_text(log_text(rows))

    def leave_part(self, rank, rows, *, torn="", run=RUN):
        class Rank:
            world_size = 9

        Rank.rank = rank
        with replace(self.log, run=run).appending(Rank) as append:
            for each in rows:
                append(each)
        with part_path(self.path, rank).open("a") as file:
            file.write(torn)

    def merge_by(self, world_size):
        """Merges with that many ranks, which must agree; returns the rows."""
        if world_size == 1:
            return self.log.merge(INDICES, SINGLE_PROCESS)
        first, *others = in_threads(world_size, lambda ranks: self.log.merge(INDICES, ranks))
        if isinstance(first, Exception):
            raise first
        assert all(other == first for other in others)
        return first

    @property
    def names(self):
        return sorted(path.name for path in self.path.parent.iterdir())


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


BY_ANY_NUMBER = pytest.mark.parametrize("world_size", [1, 2, 3])


@BY_ANY_NUMBER
def test_parts_of_three_ranks_and_a_log_become_one_log_in_the_order_of_the_images(files, world_size):
    files.begin(ROWS[:2])
    for rank in range(3):
        files.leave_part(rank, ROWS[2:8][rank::3])
    assert files.merge_by(world_size) == ROWS[:8]
    assert files.path.read_text() == log_text(ROWS[:8])
    assert files.names == ["log.tsv", "log.tsv.run.json"]


@BY_ANY_NUMBER
def test_a_part_torn_by_a_kill_loses_its_last_line_only(files, world_size):
    files.begin([])
    files.leave_part(0, ROWS[:2], torn=format_row(ROWS[2])[:30])
    part_path(files.path, 1).write_text('{"model_sha256": "ab')  # killed while it was begun
    part_path(files.path, 2).write_text("")
    files.leave_part(3, [])
    assert files.merge_by(world_size) == ROWS[:2]
    assert files.names == ["log.tsv", "log.tsv.run.json"]


@BY_ANY_NUMBER
def test_a_row_that_log_and_part_both_hold_counts_once(files, world_size):
    files.begin(ROWS[:3])  # killed after the log was replaced, before the parts were deleted
    files.leave_part(0, ROWS[1:4])
    files.leave_part(1, [replace(ROWS[2], time="0:09:00")])  # certified again elsewhere: the same answer
    assert files.merge_by(world_size) == ROWS[:4]
    assert read_log(files.path) == ROWS[:4]


@BY_ANY_NUMBER
def test_two_answers_for_one_image_are_refused_and_kept(files, world_size):
    files.begin(ROWS[:3])
    files.leave_part(0, [row(INDICES[1], label=5)])
    before = files.path.read_bytes()
    with pytest.raises(LogError, match="two results for image 10"):
        files.merge_by(world_size)
    assert files.path.read_bytes() == before and "log.tsv.part-0" in files.names


@BY_ANY_NUMBER
def test_a_part_of_another_run_is_refused_and_kept(files, world_size):
    files.begin(ROWS[:1])
    files.leave_part(4, ROWS[1:2], run=replace(RUN, seed=7))
    with pytest.raises(LogError, match=r"part-4 belongs to another run \(seed was 7, is 0\)"):
        files.merge_by(world_size)
    assert "log.tsv.part-4" in files.names


def test_a_part_without_its_log_begins_one(files):
    files.leave_part(1, ROWS[3:5])
    assert files.merge_by(1) == ROWS[3:5] and run_record_path(files.path).exists()


def test_a_malformed_part_is_refused_by_name(files):
    part_path(files.path, 0).write_text("no identity\n")
    with pytest.raises(LogError, match="cannot use"):
        files.merge_by(1)
    part_path(files.path, 0).unlink()
    files.leave_part(0, ROWS[:1], torn="1\t2\n")
    with pytest.raises(LogError, match=r"part-0, line 3: expected 21 columns"):
        files.merge_by(1)


def test_a_log_out_of_order_is_put_in_order_and_one_in_order_is_left_alone(files):
    files.begin(ROWS[::-1])
    assert files.merge_by(1) == ROWS
    inode = files.path.stat().st_ino
    assert files.merge_by(1) == ROWS and files.path.stat().st_ino == inode


def test_ranks_without_a_common_file_system_send_their_parts_to_the_first(tmp_path):
    nodes = [Files(tmp_path / f"node{rank}") for rank in range(2)]
    nodes[0].leave_part(0, ROWS[0::2])
    nodes[1].leave_part(1, ROWS[1::2])
    merged = in_threads(2, lambda ranks: nodes[ranks.rank].log.merge(INDICES, ranks))
    assert merged == [ROWS, ROWS]
    assert nodes[0].names == ["log.tsv", "log.tsv.run.json"] and nodes[1].names == []


def test_no_part_is_deleted_before_the_log_is_written(files, monkeypatch):
    files.begin(ROWS[:1])
    files.leave_part(0, ROWS[1:3])

    def full(*words):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(LogError, match="no space left"):
        files.merge_by(1)
    monkeypatch.undo()
    assert files.merge_by(2) == ROWS[:3]


def test_a_part_that_is_there_is_never_written_over(files):
    files.leave_part(0, ROWS[:1])
    with pytest.raises(LogError, match="File exists"):
        files.leave_part(0, ROWS[1:2])


def test_a_row_is_in_the_file_as_soon_as_it_is_appended(files):
    files.begin([])
    with files.log.appending(SINGLE_PROCESS) as append:
        append(ROWS[0])
        assert files.path.read_text() == f"{HEADER}\n{format_row(ROWS[0])}\n"


def test_a_log_that_another_process_holds_is_left_alone(files):
    with files.log.held(SINGLE_PROCESS):
        with pytest.raises(LogError, match="another process is certifying into"), files.log.held(SINGLE_PROCESS):
            raise AssertionError("it must not be entered")
        assert "log.tsv.lock" in files.names
    with files.log.held(SINGLE_PROCESS):
        pass
    assert files.names == []
