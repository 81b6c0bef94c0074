"""Several ranks succeed together or fail together, and say so once."""

import pytest
import torch

from tests.training.ranks import in_threads
from training.distributed import SINGLE_PROCESS, Ranks, join_ranks
from zoo.errors import InterruptionError, LogError, RequestError, ZooError


@pytest.fixture
def as_rank(monkeypatch):
    """Makes `join_ranks` see torchrun's environment, without a process group."""

    def set_environment(rank, world_size):
        for name, value in {"RANK": rank, "WORLD_SIZE": world_size, "LOCAL_RANK": rank}.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr("torch.distributed.init_process_group", lambda *words, **named: None)
        monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: None)

    return set_environment


def fails_on(*failing):
    def work(ranks):
        with ranks.failing_together():
            if ranks.rank in failing:
                raise LogError(f"rank {ranks.rank} cannot")
        return "went on"

    return work


def test_one_process_needs_no_process_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_ranks() as ranks:
        assert ranks == SINGLE_PROCESS and ranks.is_first
        assert ranks.all_gather("value") == ["value"]
        with pytest.raises(LogError), ranks.failing_together():
            raise LogError("its own error")


def test_every_rank_gets_the_values_of_all_in_their_order():
    assert in_threads(3, lambda ranks: ranks.all_gather(10 * ranks.rank)) == [[0, 10, 20]] * 3


def test_a_step_that_all_can_do_is_gone_on_from():
    assert in_threads(3, fails_on()) == ["went on"] * 3


@pytest.mark.parametrize(
    ("failing", "said"), [((0,), "rank 0 cannot"), ((2,), "rank 2: rank 2 cannot"), ((0, 1, 2), "rank 0 cannot")]
)
def test_an_error_on_any_rank_is_raised_on_all_and_told_by_the_first_only(failing, said):
    first, *others = in_threads(3, fails_on(*failing))
    assert isinstance(first, RequestError) and str(first) == said and first.exit_code == 2
    assert not any(isinstance(error, ZooError) for error in others)
    assert [error.exit_code for error in others] == [2, 2]


def test_the_first_rank_of_a_node_goes_through_before_the_others():
    order = []

    def work(ranks):
        with ranks.local_first_rank_first():
            order.append(ranks.rank)

    assert in_threads(4, work) == [None] * 4
    assert order[0] == 0 and sorted(order) == [0, 1, 2, 3]


@pytest.mark.parametrize("error", [InterruptionError("interrupted"), KeyboardInterrupt()])
def test_an_interruption_is_told_by_the_first_rank_and_ends_the_others_silently(error, as_rank):
    as_rank(0, 2)
    with pytest.raises(type(error)), join_ranks():
        raise error
    as_rank(1, 2)
    with pytest.raises(SystemExit) as ended, join_ranks():
        raise error
    assert ended.value.code == 130


def test_an_error_that_only_one_rank_has_is_its_own_to_tell(as_rank):
    as_rank(1, 2)
    with pytest.raises(LogError), join_ranks():
        raise LogError("the disk of this node is full")


def test_half_an_environment_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(RequestError, match="use torchrun"), join_ranks():
        pass


@pytest.mark.parametrize(
    ("name", "num_gpus", "ranks", "expected"),
    [
        ("auto", 4, Ranks(rank=6, world_size=8, local_rank=2), "cuda:2"),
        ("auto", 2, Ranks(rank=3, world_size=4, local_rank=3), "cuda:1"),
        ("auto", 1, Ranks(rank=1, world_size=2, local_rank=1), "auto"),
        ("auto", 4, SINGLE_PROCESS, "auto"),
        ("cuda:3", 4, Ranks(rank=0, world_size=2, local_rank=0), "cuda:3"),
    ],
)
def test_auto_is_one_gpu_a_rank_where_there_are_several(name, num_gpus, ranks, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    assert ranks.device_name(name) == expected
