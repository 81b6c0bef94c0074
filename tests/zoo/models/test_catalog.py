"""The catalog: consistent rows, which can be listed without importing what computes."""

import subprocess
import sys

import pytest

from zoo.errors import UnknownNameError
from zoo.importing.formats import FORMATS
from zoo.importing.normalization import NORMALIZATIONS
from zoo.models.architecture import find_architecture
from zoo.models.catalog import CATALOG, CatalogEntry, PackageFile, find_entry, near_ids


def test_an_unknown_id_lists_the_known_ones_and_the_closest():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'resnet50\.l2_eps3_imagenet'"):
        find_entry("resnet50.l2_eps3_imagnet")
    assert near_ids("resnet50.l2_eps3")[0] == "resnet50.l2_eps3_imagenet"


@pytest.mark.parametrize("entry", CATALOG.values(), ids=list(CATALOG))
def test_every_row_is_one_that_can_be_imported(entry):
    assert isinstance(entry, CatalogEntry) and CATALOG[entry.id] is entry and "/" not in entry.id
    assert entry.format in FORMATS and entry.normalization in NORMALIZATIONS
    assert find_architecture(entry.architecture).name == entry.architecture
    assert 0.5 < entry.accuracy < 0.81 and entry.licence and entry.source
    address = entry.file.url
    assert address.startswith("https://")
    assert address.endswith((".pth", ".torch", ".ckpt")) or (isinstance(entry.file, PackageFile) and entry.file.sha256)


def test_the_table_holds_what_the_paper_builds_on():
    assert len(CATALOG) == 2 + 5 + 10 + 5 + 1
    l2 = [entry.file.name for entry in CATALOG.values() if entry.id.startswith("resnet50.l2_")]
    assert l2[:3] == ["resnet50_l2_eps0.ckpt", "resnet50_l2_eps0.01.ckpt", "resnet50_l2_eps0.03.ckpt"]
    eight = find_entry("resnet50.linf_eps8_imagenet")
    assert eight.file.name == "resnet50_linf_eps8.0.ckpt" and eight.hyper_parameters["epsilon"] == 8 / 255
    assert find_entry("resnet50.simclr_100ep_imagenet").file.url.endswith(
        ".8edb093e/model_final_checkpoint_phase99.torch"
    )
    assert find_entry("resnet50.tv_v2_imagenet").file.sha256_prefix == "11ad3fa6"


def test_importing_the_catalog_imports_nothing_that_computes():
    code = (
        "import sys, zoo.models.catalog, zoo.loading.locate\n"
        "sys.exit(' '.join({'torch', 'numpy', 'huggingface_hub', 'httpx', 'safetensors'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
