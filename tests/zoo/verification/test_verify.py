"""`zoo verify` names what differs, and an honest checkpoint passes."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from tests.zoo.results.test_log import row
from tests.zoo.smoothing.fakes import Threshold
from tests.zoo.verification import forging
from zoo.checkpoints.checkpoint import open_checkpoint, read_manifest
from zoo.checkpoints.writing import record_onnx
from zoo.errors import BackendError
from zoo.results.contradictions import contradictions
from zoo.results.log import read_log, row_of
from zoo.smoothing import SmoothedClassifier, SmoothingSpec
from zoo.smoothing.named_rules import ANYTIME, AT_RADIUS, rule_from
from zoo.verification import verify
from zoo.verification.recomputation import recomputation_faults

PIXELS = 3 * 32 * 32


def findings_of(path, name=None):
    return [finding for check in verify(path).checks for finding in check.findings if name in (None, check.name)]


def outcomes_of(path):
    return {check.name: check.outcome for check in verify(path).checks}


def test_an_honest_checkpoint_passes_and_says_what_nothing_speaks_for(certified_digits, zoo_command):
    done = zoo_command("verify", certified_digits.path, "--json")
    told = json.loads(done.out)
    assert done.code == 0 and told["verified"] is True and told["signed_by"] is None
    outcomes = {check["name"]: check["outcome"] for check in told["checks"]}
    assert {name for name, outcome in outcomes.items() if outcome == "unchecked"} == {
        "calibration",
        "empirical",
        "onnx",
        "signature",
    }
    assert set(outcomes.values()) == {"passed", "unchecked"} and len(outcomes) == 13


def test_the_first_line_that_was_edited_in_a_card_is_shown_with_what_it_should_be(copy_of_certified, zoo_command):
    forging.edit_acr_in_card(copy_of_certified)
    forging.recompute_manifest(copy_of_certified)
    done = zoo_command("verify", copy_of_certified)
    assert done.code == 1 and "says '| average certified radius | 0.999 |" in done.out
    assert "expected '| average certified radius | 0.6" in done.out and done.out.rstrip().endswith("1 of 13 checks")


def test_a_number_in_the_header_of_a_card_is_one_of_its_claims(copy_of_certified):
    card = (copy_of_certified / "README.md").read_text()
    (copy_of_certified / "README.md").write_text(card.replace("      value: ", "      value: 1", 1))
    forging.recompute_manifest(copy_of_certified)
    assert "value: 1" in findings_of(copy_of_certified, "card")[0]


def test_an_edited_number_of_the_config_is_named_beside_what_the_rows_give(copy_of_certified):
    forging.edit_acr_in_config(copy_of_certified)
    forging.recompute_card(copy_of_certified)
    (finding,) = findings_of(copy_of_certified)
    assert finding.startswith("average certified radius: the card says 0.999, the log gives 0.6")


@pytest.mark.parametrize(
    "change",
    [
        {"average_certified_radius_interval": (0.1, 0.2)},
        {"certified_accuracy": (), "classes": None},
        {"num_images": 119},
        {"skip": 1},
        {"maximum": 30},
        {"backend": "onnxruntime-cpu-float32"},
        {"seed": 1},
        {"mean_n": 101.0},
    ],
    ids=str,
)
def test_every_claim_of_a_certification_is_compared_with_the_rows(change, certified_digits):
    claim = certified_digits.spec.certified.certification
    rows = read_log(certified_digits.path / "certification.tsv")
    assert contradictions(claim, rows, labels=None) == []
    changed = claim.model_copy(update=change)
    # Fewer accuracies are no false claim; every other change is one.
    assert bool(contradictions(changed, rows, labels=None)) == ("certified_accuracy" not in change)


def test_an_image_that_was_left_out_shows_without_the_test_set(copy_of_certified):
    forging.invent(copy_of_certified, read_log(copy_of_certified / "certification.tsv")[:4] + [
        kept for kept in read_log(copy_of_certified / "certification.tsv") if kept.idx > 12
    ])  # fmt: skip
    forging.recompute_card(copy_of_certified)
    assert "image 12 is not in the log" in findings_of(copy_of_certified, "numbers")[0]


def test_a_row_that_says_less_than_its_counts_was_edited_too():
    honest = row(900)
    timid = replace(honest, provenance=replace(honest.provenance, p_a_lower=honest.provenance.p_a_lower - 0.01))
    assert recomputation_faults([honest], num_values=PIXELS) == []
    (fault,) = recomputation_faults([timid], num_values=PIXELS)
    assert f"row {honest.idx}: p_a_lower is" in fault and "but its counts give" in fault


def test_a_row_that_does_not_answer_as_its_bound_says_is_named():
    honest = row(900)
    silent = replace(honest, predict=-1, radius=0.0, correct=False)
    assert "it abstains, but its counts prove radius" in recomputation_faults([silent], num_values=PIXELS)[0]
    published = replace(honest, provenance=None)
    assert "does not record how" in recomputation_faults([published], num_values=PIXELS)[0]


@pytest.mark.parametrize(("rule", "radius"), [(ANYTIME, None), (AT_RADIUS, 0.5)])
def test_rows_under_other_rules_follow_from_their_counts_and_edited_ones_do_not(rule, radius):
    x_CHW, base = torch.full((3, 4, 4), 0.8), Threshold(at=0.05)  # p_A is Phi(1.5) = 0.933
    smoothing = SmoothingSpec(sigma=0.5, n0=20, stopping=rule_from(rule, n=500, radius=radius))
    g = SmoothedClassifier(base, num_classes=2, smoothing=smoothing)
    certificate = g.certify(x_CHW, generator=torch.Generator().manual_seed(0))
    honest = row_of(certificate, idx=0, label=1, count_label=certificate.count_a, seconds=0.0, seed=0)
    assert honest.predict == 1 and recomputation_faults([honest], num_values=x_CHW.numel()) == []
    few = replace(honest, provenance=replace(honest.provenance, count_a=honest.provenance.n // 10))
    many = replace(honest, provenance=replace(honest.provenance, count_a=honest.provenance.n))
    assert recomputation_faults([few], num_values=x_CHW.numel())
    # Votes that would certify an at-radius row earlier are no contradiction to it.
    assert rule == AT_RADIUS or recomputation_faults([many], num_values=x_CHW.numel())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.txt", b"hello", "notes.txt is not in manifest.json"),
        ("handler.py", b"import os", "handler.py is not in manifest.json"),
        ("pytorch_model.bin", b"\x80\x04K\x01.", "pytorch_model.bin is not in manifest.json, and is a pickle"),
        ("model.pt", b"PK\x03\x04rest", "model.pt is not in manifest.json, and is an archive"),
    ],
)
def test_a_file_that_nobody_listed_is_named_with_what_it_is(name, content, said, copy_of_certified):
    (copy_of_certified / name).write_bytes(content)
    (finding,) = findings_of(copy_of_certified)
    assert finding.startswith(said)


def test_a_folder_is_no_part_of_a_checkpoint_and_hidden_names_are_nobodys(copy_of_certified):
    (copy_of_certified / ".run").mkdir()
    assert findings_of(copy_of_certified) == []
    (copy_of_certified / "code").mkdir()
    assert findings_of(copy_of_certified) == ["code is not in manifest.json, and is a folder"]


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/b.json", ".hidden"])
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_read(name, copy_of_certified):
    manifest = json.loads((copy_of_certified / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": "0" * 64}
    (copy_of_certified / "manifest.json").write_text(json.dumps(manifest))
    (finding,) = findings_of(copy_of_certified)
    assert repr(name) in finding and "not a checkpoint file" in finding


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("certification.tsv", b"\x80\x04K\x01.", "is a pickle"),
        ("README.md", b"PK\x03\x04 and more", "an archive"),
        ("split.json", b"{", "is not JSON"),
        ("certified_accuracy.png", b"GIF89a", "is not a PNG image"),
        ("README.md", b"a\0b", "NUL"),
        ("model.safetensors", b"\xff" * 64, "is not a safetensors file"),
    ],
)
def test_a_file_that_is_not_of_its_kind_is_named_though_its_hash_fits(name, content, said, copy_of_certified):
    (copy_of_certified / name).write_bytes(content)
    forging.recompute_manifest(copy_of_certified)
    assert any(finding.startswith(name) and said in finding for finding in findings_of(copy_of_certified, "contents"))


@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
@pytest.mark.parametrize("depth", [200, 950, 200_000])
def test_a_deeply_nested_file_is_named_by_every_command_and_is_no_defect(name, depth, copy_of_certified, zoo_command):
    text = '{"files": ' + "[" * depth + "]" * depth + "}"
    (copy_of_certified / name).write_text(text)
    if name == "config.json":
        forging.recompute_manifest(copy_of_certified)
    for command in ("show", "verify", "card"):
        done = zoo_command(command, copy_of_certified)
        assert done.code == 1 and "defect" not in done.err and name in done.out + done.err


def test_an_onnx_file_is_parsed_and_may_not_take_its_weights_from_elsewhere(copy_of_certified):
    import onnx

    record_onnx(open_checkpoint(copy_of_certified), b"no model")
    assert findings_of(copy_of_certified, "contents") == ["model.onnx is not an ONNX model"]
    outside = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="/etc/passwd")
    graph = onnx.helper.make_graph([], "g", [], [], initializer=[outside])
    record_onnx(open_checkpoint(copy_of_certified), onnx.helper.make_model(graph).SerializeToString())
    assert "loads w and 0 other weights from another file" in findings_of(copy_of_certified, "contents")[0]
    branch = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["c"], value=outside)], "b", [], [])
    graph = onnx.helper.make_graph([onnx.helper.make_node("If", ["w"], ["c"], then_branch=branch)], "g", [], [])
    record_onnx(open_checkpoint(copy_of_certified), onnx.helper.make_model(graph).SerializeToString())
    assert "loads w and 0 other weights from another file" in findings_of(copy_of_certified, "contents")[0]


def test_an_export_is_compared_with_the_weights_and_another_networks_is_refused(copy_of_certified, exported_digits):
    record_onnx(open_checkpoint(copy_of_certified), (exported_digits / "digits.onnx").read_bytes())
    assert findings_of(copy_of_certified) == [] and outcomes_of(copy_of_certified)["onnx"] == "passed"
    forging.put_other_weights(copy_of_certified)
    forging.recompute_card(copy_of_certified)
    of_other_weights, another = findings_of(copy_of_certified)
    assert "was exported from weights with SHA-256" in of_other_weights
    assert "model.onnx is not the network of model.safetensors: on uniform pixels" in another
    (copy_of_certified / "model.onnx").write_bytes(onnx_with_shapes())
    forging.recompute_card(copy_of_certified)
    assert any(
        "has the inputs and outputs {'image': (1,)" in finding for finding in findings_of(copy_of_certified, "onnx")
    )


def test_an_onnx_file_that_never_ends_is_a_finding(copy_of_certified, monkeypatch):
    def endless(*_, seconds, **__):
        raise BackendError(f"the model did not end within {seconds:.0f} s")

    record_onnx(open_checkpoint(copy_of_certified), onnx_with_shapes((3, 32, 32), (10,)))
    monkeypatch.setattr("zoo.export.onnx_process.bounded_logits", endless)
    assert any("model.onnx: the model did not end within 3" in each for each in findings_of(copy_of_certified, "onnx"))


def onnx_with_shapes(image_shape=(1,), logits_shape=(1,)):
    import onnx
    from onnx.helper import make_graph, make_model, make_node, make_tensor_value_info

    image = make_tensor_value_info("image", 1, ["batch", *image_shape])
    logits = make_tensor_value_info("logits", 1, ["batch", *logits_shape])
    graph = make_graph([make_node("Relu", ["image"], ["logits"])], "g", [image], [logits])
    return make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]).SerializeToString()


def test_weights_of_another_shape_or_that_are_not_finite_are_named(copy_of_certified):
    from safetensors.torch import load_file, save_file

    tensors = load_file(copy_of_certified / "model.safetensors")
    tensors["fc.bias"][0] = float("nan")
    save_file(tensors, copy_of_certified / "model.safetensors")
    forging.recompute_card(copy_of_certified)
    assert "fc.bias contains a value that is not finite" in findings_of(copy_of_certified)[0]
    save_file({**tensors, "fc.bias": tensors["fc.bias"][:3].clone()}, copy_of_certified / "model.safetensors")
    forging.recompute_card(copy_of_certified)
    assert "does not fit resnet10-quarter" in findings_of(copy_of_certified)[0]


def test_a_config_that_tells_timm_otherwise_is_named_by_its_path(copy_of_certified):
    config = json.loads((copy_of_certified / "config.json").read_text())
    config["pretrained_cfg"]["mean"] = [0.5, 0.5, 0.5]
    (copy_of_certified / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    forging.recompute_card(copy_of_certified)
    (finding,) = findings_of(copy_of_certified)
    assert finding.startswith(
        "config.json: pretrained_cfg.mean is [0.5, 0.5, 0.5], but the section 'certified' implies"
    )


def test_a_recipe_that_is_not_its_digests_is_named(copy_of_certified):
    forging.write_config(copy_of_certified, recipe_digest="0" * 64)
    forging.recompute_card(copy_of_certified)
    (finding,) = findings_of(copy_of_certified)
    assert "recipe_digest is 0000" in finding


def test_a_field_that_no_schema_knows_is_refused(copy_of_certified):
    config = json.loads((copy_of_certified / "config.json").read_text())
    config["certified"]["trust_me"] = True
    (copy_of_certified / "config.json").write_text(json.dumps(config))
    forging.recompute_manifest(copy_of_certified)
    assert "trust_me" in findings_of(copy_of_certified, "config")[0]


def test_intervals_of_an_evaluation_follow_from_its_counts(copy_of_certified):
    forging.invent_an_evaluation(copy_of_certified)
    forging.recompute_card(copy_of_certified)
    assert outcomes_of(copy_of_certified)["empirical"] == "unchecked" and findings_of(copy_of_certified) == []
    evaluated = open_checkpoint(copy_of_certified).spec.certified.empirical
    for changed, said in (
        ({"standard_accuracy_interval": (0.99, 1.0)}, "interval of the standard accuracy"),
        ({"standard_accuracy": 0.9}, "is not a fraction of 359 images"),
    ):
        forging.write_config(copy_of_certified, empirical=evaluated.model_copy(update=changed))
        forging.recompute_card(copy_of_certified)
        assert said in findings_of(copy_of_certified)[0]


def test_a_picture_of_other_rows_is_seen_and_one_by_another_program_is_said_to_be_unchecked(
    copy_of_certified, certified_digits
):
    forging.invent_rows(copy_of_certified)
    forging.recompute_card(copy_of_certified)
    prettier = (copy_of_certified / "certified_accuracy.png").read_bytes()
    honest = shutil.copytree(certified_digits.path, copy_of_certified.with_name("honest"))
    (honest / "certified_accuracy.png").write_bytes(prettier)
    forging.recompute_manifest(honest)
    assert "certified_accuracy.png does not show the rows" in findings_of(honest, "curve")[0]
    (honest / "certified_accuracy.png").write_bytes(prettier.replace(b"matplotlib 3.", b"matplotlib 2."))
    assert outcomes_of(honest)["curve"] == "unchecked"


def test_numbers_without_their_rows_and_rows_without_numbers_are_refused(copy_of_certified, certified_digits):
    (copy_of_certified / "certification.tsv").unlink()
    forging.recompute_manifest(copy_of_certified)
    assert any("but there is no certification.tsv" in finding for finding in findings_of(copy_of_certified))
    (copy_of_certified / "certification.tsv").write_bytes((certified_digits.path / "certification.tsv").read_bytes())
    forging.write_config(copy_of_certified, certification=None)
    forging.recompute_card(copy_of_certified)
    assert findings_of(copy_of_certified) == ["there is a certification.tsv, but the config claims no numbers from it"]


def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path, zoo_command):
    done = zoo_command("verify", tmp_path)
    assert done.code == 1 and "contains no manifest.json" in done.out
    assert zoo_command("verify", tmp_path / "nowhere").code == 2


def test_the_manifest_of_an_honest_checkpoint_lists_the_picture(certified_digits):
    assert "certified_accuracy.png" in read_manifest(certified_digits.path)
