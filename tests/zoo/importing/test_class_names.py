"""Every class of an imported network has a name of its own."""

import pytest

from tests.zoo.importing.foreign_files import without_head
from tests.zoo.importing.running import imported, refusal
from zoo.errors import RequestError
from zoo.importing.class_names import default_class_names, distinct, read_class_names


def test_a_thousand_classes_are_imagenets_each_with_a_name_of_its_own():
    names = default_class_names(1000)
    assert names[0] == "tench" and len(set(names)) == 1000


def test_names_that_occur_twice_carry_their_index():
    assert distinct(["crane", "tench", "crane"]) == ("crane (0)", "tench", "crane (2)")


def test_other_classes_are_numbered():
    assert default_class_names(3) == ("0", "1", "2")


def test_a_file_names_the_classes_and_their_number(small, tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\n\nn\u00e4mlich\nfox\n", encoding="utf-8")
    names = read_class_names(tmp_path / "classes.txt")
    assert names == ("cat", "dog", "n\u00e4mlich", "fox")
    assert imported(small.state_dict(), tmp_path, class_names=names)[0].spec.certified.class_names == names


def test_names_for_another_number_of_classes_do_not_cost_a_trained_head(small, tmp_path):
    assert "a head of 4 classes, but 3 class names were given" in refusal(
        small.state_dict(), tmp_path, class_names=("a", "b", "c")
    )


def test_names_tell_the_number_of_classes_where_the_file_has_no_head(small, tmp_path):
    _, report = imported(without_head(small.state_dict()), tmp_path, class_names=("a", "b", "c"))
    assert (report.num_classes, report.has_trained_head) == (3, False)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"a\nb\na\n", "'a' twice"), (b"\xff\xfe\x00", "not a readable text file")]
)
def test_a_file_that_is_no_list_of_names_is_refused(content, reason, tmp_path):
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(RequestError, match=reason):
        read_class_names(tmp_path / "classes.txt")
