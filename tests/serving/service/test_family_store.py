"""No two questions about an image get the same index, whatever shares its cells and whatever is forgotten."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serving.service import family_store
from serving.service.family_store import FamilyStore, families_folder
from zoo.errors import ServerError
from zoo.host.lock import exclusive_lock


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Files of a few kilobytes, whose cells and slots many images share."""
    monkeypatch.setattr(family_store, "NUM_CELLS", 16)
    monkeypatch.setattr(family_store, "NUM_BUCKETS", 4)


def ask(store, image, question):
    return store.index(image=str(image).encode(), question=f"{image} {question}".encode())


def test_questions_about_an_image_count_from_one_and_a_repeated_one_keeps_its_index():
    store = FamilyStore()
    assert [ask(store, "cat", question) for question in (1, 2, 1, 3, 2)] == [1, 2, 1, 3, 2]


def test_indices_of_an_image_stay_distinct_when_many_images_share_its_cells_and_slots():
    store, given = FamilyStore(), {}
    for image, question in np.random.default_rng(0).integers(0, (40, 30), size=(3000, 2)):
        index = ask(store, image, question)
        given.setdefault(index, []).append((int(image), int(question)))
    for pairs in given.values():
        questions_by_image = {}
        for image, question in pairs:
            questions_by_image.setdefault(image, set()).add(question)
        assert all(len(questions) == 1 for questions in questions_by_image.values())
    assert sum(map(len, given.values())) == 3000
    assert max(given) > 30, "the test must be one in which cells are shared and questions forgotten"


def test_a_forgotten_question_takes_a_new_index():
    store = FamilyStore()
    first = ask(store, "cat", 0)
    for question in range(1, 200):
        ask(store, "cat", question)
    assert ask(store, "cat", 0) in (first, 201) and ask(store, "cat", "new") > 200


def test_stores_of_one_folder_count_together_and_after_a_restart(tmp_path):
    first, second = FamilyStore(tmp_path / "counts"), FamilyStore(tmp_path / "counts")
    assert [ask(first, "cat", 1), ask(second, "cat", 2), ask(first, "cat", 2), ask(second, "dog", 1)] == [1, 2, 2, 1]
    assert ask(FamilyStore(tmp_path / "counts"), "cat", 3) == 3
    size = (tmp_path / "counts" / family_store.FILE).stat().st_size
    assert size == 4096 + 4 * 16 * 4 + 4 * 8 * 24 and not (tmp_path / "counts" / family_store.LOCK).exists()


def test_workers_count_where_their_parent_says_or_beside_their_model(tmp_path, monkeypatch):
    monkeypatch.delenv(family_store.VARIABLE, raising=False)
    assert families_folder(tmp_path) == tmp_path / ".families", "hidden: a checkpoint has no such file"
    monkeypatch.setenv(family_store.VARIABLE, "/private/families")
    assert str(families_folder(tmp_path)) == "/private/families"


def indices_of_a_thread(folder, worker):
    store = FamilyStore(folder)
    return [ask(store, "cat", f"{worker} {question}") for question in range(25)]


def test_workers_that_ask_at_once_get_distinct_indices(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        indices = [index for found in pool.map(lambda worker: indices_of_a_thread(tmp_path, worker), range(4))
                   for index in found]  # fmt: skip
    assert sorted(indices) == list(range(1, 101))


def test_a_store_that_is_held_or_of_another_version_is_an_error(tmp_path, monkeypatch):
    store = FamilyStore(tmp_path)
    monkeypatch.setattr(family_store, "LOCK_SECONDS", 0.0)
    with (
        exclusive_lock(tmp_path / family_store.LOCK, otherwise=AssertionError()),
        pytest.raises(ServerError, match="hold"),
    ):
        ask(store, "cat", 1)
    (tmp_path / family_store.FILE).write_bytes(b"something else")
    with pytest.raises(ServerError, match="is not a file of this version"):
        FamilyStore(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match="cannot be kept in"):
        FamilyStore(tmp_path / "file")


def test_a_slot_of_a_write_that_was_cut_off_matches_no_question(tmp_path, monkeypatch):
    store = FamilyStore(tmp_path)
    slots = store._slots.copy()
    assert ask(store, "cat", 1) == 1
    written = np.argwhere(store._slots != slots)
    assert len(written) == 1
    store._slots["digest"][tuple(written[0])] = 0  # as between the two writes of a killed process
    assert ask(store, "cat", 1) == 2
