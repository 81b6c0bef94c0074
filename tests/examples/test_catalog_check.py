"""The catalog check, rehearsed: hashes, missing files, pages, interrupted downloads."""

from dataclasses import replace

import pytest
import torch

from examples.network_check.catalog_check import classify
from examples.network_check.hub_check import untrained
from examples.network_check.pages import cited, find_accuracy, find_licence
from examples.network_check.record import FailedCheckError
from tests.examples.conftest import HEADLESS, ON_THE_HUB, PREFIXED
from zoo.checkpoints.writing import save_checkpoint
from zoo.models.catalog import CATALOG, WebFile

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")

CATALOG_ONLY = ("--parts", "catalog", "--only")


def test_other_bytes_than_were_published_fail_in_one_sentence_and_leave_the_others(rehearsal):
    wrong = WebFile(url=rehearsal.entries[PREFIXED].file.url, sha256_prefix="00000000")
    rehearsal.entries[PREFIXED] = replace(rehearsal.entries[PREFIXED], file=wrong)
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED, HEADLESS) == 1
    assert rehearsal.outcomes[f"catalog/{PREFIXED}/downloaded"] == "failed"
    assert "other bytes than were published" in rehearsal.sentence(f"catalog/{PREFIXED}/downloaded")
    assert rehearsal.outcomes[f"catalog/{PREFIXED}/classified"] == "skipped"
    assert rehearsal.outcomes[f"catalog/{HEADLESS}/classified"] == "passed"
    assert "Traceback" not in rehearsal.out
    assert "Traceback" in rehearsal.record["steps"][f"catalog/{PREFIXED}/downloaded"]["traceback"]


def test_other_bytes_than_the_hub_tells_the_hash_of_fail_and_are_downloaded_anew(rehearsal, weights):
    rehearsal.hub.tamper("lab/robust", "three.ckpt.bin", weights[:-1] + bytes([weights[-1] ^ 1]))
    assert rehearsal.run(*CATALOG_ONLY, ON_THE_HUB) == 1
    assert "the Hub's is" in rehearsal.sentence(f"catalog/{ON_THE_HUB}/hash")
    outcomes = [rehearsal.outcomes[f"catalog/{ON_THE_HUB}/{step}"] for step in ("downloaded", "hash", "imported")]
    assert outcomes == ["failed", "failed", "skipped"]
    rehearsal.hub.repository("lab/robust").tampered.clear()
    assert rehearsal.run(*CATALOG_ONLY, ON_THE_HUB) == 0


def test_a_missing_file_fails_and_its_pages_are_still_read(rehearsal):
    del rehearsal.site.files["/models/two.pth"]
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED) == 1
    assert rehearsal.sentence(f"catalog/{PREFIXED}/found").endswith("/two.pth answered 404")
    assert {step.rpartition("/")[2]: outcome for step, outcome in rehearsal.outcomes.items()} == {
        "found": "failed", "downloaded": "failed", "hash": "skipped", "imported": "skipped", "classified": "skipped",
        "licence": "passed", "accuracy": "passed",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("page", "outcome", "said"),
    [
        (b"models/two.pth: acc@1 76.23", "finding", "the accuracy 76.13 % was not found on the page"),
        (b"models/two.pth" + b" " * 1000 + b"76.13", "finding", "but not near the name of the file"),
        (None, "failed", "the page"),
    ],
)
def test_what_a_page_does_not_state_is_no_pass(page, outcome, said, rehearsal):
    del rehearsal.site.files["/page"]
    if page is not None:
        rehearsal.site.files["/page"] = page
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED, "--downloads", "none") == 1
    step = f"catalog/{PREFIXED}/accuracy"
    assert rehearsal.outcomes[step] == outcome and said in rehearsal.sentence(step)
    rehearsal.site.files["/page"] = b"models/two.pth 76.13"
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED, "--downloads", "none") == 0
    assert rehearsal.outcomes[step] == "passed"


def test_a_licence_that_is_not_on_its_page_is_a_finding(rehearsal):
    rehearsal.site.files["/LICENSE"] = b"Apache License\nby people of MIT\n"
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED, "--downloads", "none") == 1
    assert rehearsal.outcomes[f"catalog/{PREFIXED}/licence"] == "finding"
    assert rehearsal.site.gets("/models/two.pth") == []
    assert "nothing is downloaded; without --downloads none, it would be 0.00 GB in 1 files" in rehearsal.out


def test_a_download_that_breaks_off_is_gone_on_with_by_the_next_run(rehearsal):
    rehearsal.site.hangs_up["/models/two.pth"] = 2
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED) == 1
    assert "cannot download" in rehearsal.sentence(f"catalog/{PREFIXED}/downloaded") and rehearsal.waits == [1]
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED) == 0
    size = len(rehearsal.site.files["/models/two.pth"])
    assert rehearsal.site.gets("/models/two.pth") == [0, size // 2, size // 2 + (size - size // 2) // 2]


def test_what_passed_holds_for_the_entry_as_it_was(rehearsal):
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED, "--downloads", "none") == 0
    rehearsal.entries[PREFIXED] = replace(rehearsal.entries[PREFIXED], accuracy=0.7623)
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED, "--downloads", "none") == 1
    assert rehearsal.outcomes[f"catalog/{PREFIXED}/accuracy"] == "finding"


def test_downloads_can_be_kept(rehearsal):
    assert rehearsal.run(*CATALOG_ONLY, PREFIXED, "--downloads", "keep") == 0
    assert (rehearsal.output / "weights" / PREFIXED / "model.safetensors").is_file()


def test_a_file_that_cannot_be_imported_was_downloaded_and_is_kept(rehearsal):
    rehearsal.site.files["/features/one.torch"] = b"<html>please log in"
    assert rehearsal.run(*CATALOG_ONLY, HEADLESS) == 1
    step = f"catalog/{HEADLESS}"
    assert (rehearsal.outcomes[f"{step}/downloaded"], rehearsal.outcomes[f"{step}/imported"]) == ("passed", "failed")
    assert "is a web page" in rehearsal.sentence(f"{step}/imported")
    assert (rehearsal.output / "weights/.downloads" / HEADLESS / "one.torch").is_file()


def test_a_network_whose_answers_are_not_finite_fails(tmp_path):
    checkpoint = untrained(tmp_path / "finite")
    assert classify(checkpoint, has_head=True).outcome == "passed"
    network = checkpoint.load_network()
    with torch.no_grad():
        network.backbone.fc.weight.fill_(3e38)
    infinite = save_checkpoint(tmp_path / "infinite", network, checkpoint.spec)
    with pytest.raises(FailedCheckError, match="are not finite"):
        classify(infinite, has_head=True)
    assert classify(infinite, has_head=False).facts["shape"] == [2, 128]


def test_a_network_that_gives_every_picture_the_same_answer_fails(tmp_path):
    checkpoint = untrained(tmp_path / "finite")
    network = checkpoint.load_network()
    with torch.no_grad():
        network.backbone.fc.weight.zero_()
    with pytest.raises(FailedCheckError, match="of two different images are equal"):
        classify(save_checkpoint(tmp_path / "equal", network, checkpoint.spec), has_head=True)


def test_every_entry_of_the_catalog_cites_pages():
    for entry in CATALOG.values():
        pages = cited(entry)
        assert pages.licence and pages.accuracy
        file = "/".join(entry.file.url.split("/")[-2:])
        assert find_accuracy(f"{100 * entry.accuracy:.3f} {file}", entry).is_beside
    assert find_licence("BSD 3-Clause License", CATALOG["resnet50.tv_v1_imagenet"])
    assert find_licence("license: mit", CATALOG["resnet50.l2_eps1_imagenet"])
    assert not find_licence("license: summit", CATALOG["resnet50.l2_eps1_imagenet"])


def test_a_figure_that_is_part_of_another_or_beside_another_file_is_not_taken():
    entry = CATALOG["resnet50.l2_eps1_imagenet"]
    for text in ("170.43", "70.431", "0.70.43"):
        assert find_accuracy(f"{text} {entry.file.name}", entry) is None
    assert not find_accuracy(f"70.43 wide_{entry.file.name}", entry).is_beside
