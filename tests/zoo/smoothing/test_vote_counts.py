"""Counts of votes equal those of a naive count, after every vote."""

import sys
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zoo.smoothing.vote_counts import VoteCounts

Votes = st.lists(st.integers(0, 6), max_size=40)


@given(Votes, Votes, st.integers(0, 6))
def test_running_counts_equal_a_naive_count_after_every_vote(earlier, further, label):
    votes, naive = VoteCounts(), Counter(earlier)
    votes.add(np.array(earlier, dtype=np.int64))
    counts_a, counts_b = votes.running(label, np.array(further, dtype=np.int64))
    for position, vote in enumerate(further):
        naive[vote] += 1
        most_other = max((count for other, count in naive.items() if other != label), default=0)
        assert (counts_a[position], counts_b[position]) == (naive[label], most_other)
    votes.add(np.array(further, dtype=np.int64))
    assert votes.total == naive.total()
    assert all(votes.of(vote) == naive[vote] for vote in range(8))


@given(Votes.filter(bool), Votes)
def test_the_top_class_is_the_lowest_of_the_most_frequent(first, second):
    votes = VoteCounts()
    votes.add(np.array(first, dtype=np.int64))
    votes.add(np.array(second, dtype=np.int64))
    ranked = sorted(Counter(first + second).items(), key=lambda pair: (-pair[1], pair[0]))
    assert votes.top == ranked[0][0]
    assert votes.most_other(votes.top) == (ranked[1][1] if len(ranked) > 1 else 0)


def test_a_thousand_classes_need_little_memory():
    votes = VoteCounts()
    votes.add(np.arange(1000))
    votes.add(np.arange(1000))
    assert sum(sys.getsizeof(value) for value in vars(votes).values()) < 10_000


def test_running_counts_continue_the_counts_so_far():
    votes = VoteCounts({0: 2, 3: 5})
    counts_a, counts_b = votes.running(0, np.array([1, 0, 5, 5, 3, 5, 0, 5, 5, 5]))
    assert counts_a.tolist() == [2, 3, 3, 3, 3, 3, 4, 4, 4, 4]
    assert counts_b.tolist() == [5, 5, 5, 5, 6, 6, 6, 6, 6, 6]
    assert (votes.total, votes.of(0), votes.of(5)) == (7, 2, 0), "they are not added"
    counts_a, counts_b = VoteCounts().running(2, np.array([1, 1, 4, 1, 2]))
    assert (counts_a.tolist(), counts_b.tolist()) == ([0, 0, 0, 0, 1], [1, 2, 2, 3, 3])
    assert [counts.tolist() for counts in votes.running(0, np.array([], dtype=np.int64))] == [[], []]


def test_a_class_alone_has_no_runner_up():
    assert VoteCounts({0: 5}).most_other(0) == VoteCounts().most_other(0) == 0
    assert VoteCounts({0: 5}).most_other(1) == VoteCounts({0: 5}).most_other(7) == 5
