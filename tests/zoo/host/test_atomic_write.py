"""A file is the old one or the new one, wholly, whatever the disk does and whoever else writes."""

import threading

import pytest

from tests.full_disk import files_no_larger_than
from zoo.host.atomic_write import new_directory, replaced_file, write_all_atomically, write_atomically


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [b"new\n", "new\n"])
def test_a_file_is_replaced_and_its_folder_made(content, tmp_path):
    path = tmp_path / "below" / "file"
    write_atomically(path, b"old")
    write_atomically(path, content)
    assert path.read_bytes() == b"new\n" and names_in(path.parent) == ["file"]


def test_a_new_file_has_the_permissions_that_any_new_file_has(tmp_path):
    (tmp_path / "usual").touch()
    write_atomically(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_full_disk_leaves_every_old_file_and_nothing_else(tmp_path):
    write_all_atomically(tmp_path, {"a": b"old a", "b": b"old b"})
    with files_no_larger_than(100), pytest.raises(OSError, match="File too large"):
        write_all_atomically(tmp_path, {"a": b"new a", "b": bytes(101)})
    assert names_in(tmp_path) == ["a", "b"] and (tmp_path / "a").read_bytes() == b"old a"


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    write_atomically(tmp_path / "file", b"old")
    with pytest.raises(ZeroDivisionError), replaced_file(tmp_path / "file") as temporary:
        temporary.write_bytes(b"half of the new")
        raise ZeroDivisionError
    assert names_in(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == b"old"
    with replaced_file(tmp_path / "file") as temporary:
        temporary.write_bytes(b"new")
    assert names_in(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == b"new"


def test_a_directory_appears_with_all_that_it_holds_or_not_at_all(tmp_path):
    path = tmp_path / "below" / "directory"
    with pytest.raises(ZeroDivisionError), new_directory(path) as temporary:
        (temporary / "file").touch()
        raise ZeroDivisionError
    assert names_in(path.parent) == []
    with new_directory(path) as temporary:
        (temporary / "file").touch()
        assert not path.exists() and temporary.name.startswith(".")
    assert names_in(path.parent) == ["directory"] and names_in(path) == ["file"]
    with pytest.raises(OSError, match="not empty"), new_directory(path):
        pass
    assert names_in(path.parent) == ["directory"] and names_in(path) == ["file"]


def test_writers_at_once_do_not_meet_in_one_temporary_file(tmp_path):
    contents = [letter * 100_000 for letter in (b"a", b"b", b"c", b"d")]
    barrier, errors = threading.Barrier(len(contents)), []

    def write(content):
        try:
            for _ in range(25):
                barrier.wait()
                write_atomically(tmp_path / "file", content)
                assert (tmp_path / "file").read_bytes() in contents
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and names_in(tmp_path) == ["file"]
