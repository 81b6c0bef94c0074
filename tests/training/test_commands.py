"""The commands of `training`, from words to exit code."""

import json
import shutil
import socket
import sys
from dataclasses import replace

import pytest

from training.commands.options import require_same_classes
from training.tasks import open_task
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.errors import TaskError
from zoo.models.spec import Origin

PUBLISHED = (
    "idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.7\t1\t0:01\n1\t2\t2\t0.4\t1\t0:01\n2\t3\t-1\t0.0\t0\t0:01\n"
)


def test_train_measures_and_says_what_it_made(zoo_command, tmp_path):
    words = ["train", "--task", "digits", "--objective", "standard", "--architecture", "resnet10-quarter"]
    done = zoo_command(*words, "--set", "epochs=1", "--output", tmp_path / "c", "--seed", 3, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["checkpoint"] == str(tmp_path / "c") and told["train_seconds"] > 0
    assert (told["objective"], told["task"], told["seed"], told["epochs"]) == ("standard", "digits", 3, 1)
    assert "recipe: standard with resnet10-quarter" in done.err and "epochs=1" in done.err
    assert told["recipe"]["epochs"] == 1 and len(told["classes"]) == 10 and told["warning"] is None
    assert told["validation"]["num_images"] == sum(row["validation"] for row in told["classes"])
    assert "epoch 1, step " in done.err and " %, per class " in done.err
    assert zoo_command(*words, "--set", "epochs=1", "--output", tmp_path / "c").code == 2
    refused = zoo_command("certify", tmp_path / "c", "--task", "digits", "--output", tmp_path / "log.tsv")
    assert refused.code == 2 and "has no sigma because it was not trained under noise; give --sigma" in refused.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "digts", "--objective", "standard"], "tuxpaint, unlabelled. Did you mean 'digits'"),
        (["--task", "digits", "--objective", "standrad"], "smoothmix, standard, trades. Did you mean 'standard'"),
        (["--task", "digits", "--objective", "standard", "--architecture", "resnet10"], "mean 'resnet10-quarter'?"),
        (["--task", "digits", "--objective", "standard", "--recipe", "fast"], "unknown recipe 'fast'"),
        (["--task", "digits", "--objective", "standard", "--set", "epoch=1"], "no field 'epoch'; "),
        (["--task", "digits", "--objective", "standard", "--set", "epoch=1"], "Did you mean 'epochs'?"),
        (["--task", "digits", "--objective", "standard", "--set", "lr=1"], "Did you mean 'optimizer.lr'?"),
        (["--task", "digits", "--objective", "standard", "--set", "optimizer.rate=1"], "Sgd has: lr, momentum"),
        (["--task", "pictures", "--objective", "standard"], "Did you mean 'imagefolder'?"),
        (["--task", "x" * 300, "--objective", "standard"], "unknown task 'xxx"),
        (["--task", "digits", "--objective", "standard", "--init", "no/where/else"], "neither a directory nor a"),
        (["--task", "digits", "--objective", "standard", "--device", "gpu"], "--device takes auto, cpu, cuda"),
        (["--task", "imagefolder:/none", "--objective", "standard"], "/none is not a folder"),
    ],
)  # fmt: skip
def test_a_wrong_request_ends_with_one_sentence_and_makes_nothing(words, said, zoo_command, tmp_path):
    done = zoo_command("train", *words, "--output", tmp_path / "c")
    assert (done.code, done.out) == (2, "") and said in done.err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("command", ["certify", "evaluate", "study run"])
def test_options_of_ray_need_its_engine(command, zoo_command, digits_checkpoint, tmp_path):
    words = ["miniature"] if command == "study run" else [digits_checkpoint.path, "--task", "digits"]
    words += ["--output", tmp_path / "log.tsv"] if command == "certify" else []
    done = zoo_command(*command.split(), *words, "--workers", 2)
    assert (done.code, done.err) == (2, "zoo: --workers and --ray-address need --engine ray\n")


def test_a_cluster_that_cannot_be_reached_is_one_sentence(zoo_command, monkeypatch, tmp_path):
    words = ["certify", "not-even-located", "--task", "digits", "--output", tmp_path / "log.tsv", "--engine", "ray"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    done = zoo_command(*words, "--ray-address", address)
    assert done.code == 1 and done.err.startswith(f"zoo: the Ray cluster at {address} cannot be reached")
    assert len(done.err.splitlines()) == 1
    refused = zoo_command(*words, "--device", "cuda:1")
    assert refused.code == 2 and "give --device cuda, not cuda:1" in refused.err
    monkeypatch.setitem(sys.modules, "ray", None)
    missing = zoo_command(*words)
    assert (missing.code, missing.err) == (1, "zoo: Ray is not installed: pip install 'certified-zoo[ray]'\n")


def test_a_folder_given_as_a_task_is_told_with_the_tasks_that_read_one(zoo_command, tmp_path):
    (tmp_path / "pictures").mkdir()
    folder = tmp_path / "pictures"
    done = zoo_command("train", "--task", folder, "--objective", "standard", "--output", tmp_path / "c")
    assert done.code == 2 and f"{folder} is a folder, not a task: give imagefolder:{folder} if" in done.err


def test_evaluate_prints_the_shape_that_scripts_rely_on_and_records_it(zoo_command, copy_of_digits):
    words = ["evaluate", copy_of_digits, "--task", "digits", "--noise-sigmas", "0.1,0.5", "--record", "--json"]
    told = json.loads(zoo_command(*words).out)
    assert (told["num_images"], told["robust_accuracy"], told["attack"]) == (359, None, None)
    assert [point["sigma"] for point in told["noise"]] == [0.1, 0.5]
    recorded = open_checkpoint(copy_of_digits).spec.certified.empirical
    assert recorded.standard_accuracy == told["standard_accuracy"] > 0.85


def test_certify_records_rows_numbers_and_card(zoo_command, copy_of_digits, tmp_path):
    log = tmp_path / "log.tsv"
    words = [
        "certify",
        copy_of_digits,
        "--task",
        "digits",
        "--images",
        10,
        "--n",
        200,
        "--output",
        log,
        "--record",
        "--json",
    ]
    done = zoo_command(*words)
    assert done.code == 0
    (told,) = json.loads(done.out)
    assert (told["file"], told["num_images"], told["sigma"], told["n"]) == (str(log), 10, 0.5, 200)
    assert [(counts["name"], counts["num_images"]) for counts in told["classes"]] == [(str(k), 1) for k in range(10)]
    assert told["majority_baseline"] == 0.1 and told["mean_per_class"][0]["accuracy"] > 0.5
    checkpoint = open_checkpoint(copy_of_digits)
    result = checkpoint.spec.certified.certification
    card = (copy_of_digits / "README.md").read_text()
    assert result.sample == "stratified" and "10 images: a stratified sample with seed 0 of the test split" in card
    assert "**Fewer than 100 images were certified" in card and "--images 10 --sample stratified" in card
    assert "| `3` | 1 |" in card and "always answers `0`" in card
    refused = zoo_command(*words, "--sample", "random")
    assert refused.code == 2 and "(sample was 'stratified', is 'random')" in refused.err
    table = zoo_command("report", log).out
    assert "Fewer than 100 images" in table and "always answering 0" in table and "mean per class" in table
    assert result.average_certified_radius == told["average_certified_radius"]
    assert (copy_of_digits / "certification.tsv").read_text() == log.read_text()
    assert f"{100 * result.standard_accuracy:.1f}" in (copy_of_digits / "README.md").read_text()
    reported = json.loads(zoo_command("report", copy_of_digits / "certification.tsv", "--json").out)[0]
    assert reported["average_certified_radius"] == pytest.approx(result.average_certified_radius, abs=0)


def test_deciding_one_radius_records_accuracy_there_and_nothing_else(zoo_command, copy_of_digits, tmp_path):
    log = tmp_path / "log.tsv"
    words = ["certify", copy_of_digits, "--task", "digits", "--skip", 40, "--n", 2000, "--output", log, "--record"]
    words += ["--stopping", "at-radius", "--radius", 0.5, "--noise", "discrete"]
    (told,) = json.loads(zoo_command(*words, "--json").out)
    assert (told["stopping"], told["radius_asked"]) == ("at-radius", 0.5)
    assert 16 <= told["mean_n"] < 2000
    assert told["standard_accuracy"] is told["average_certified_radius"] is None
    (point,) = told["certified_accuracy"]
    assert point["radius"] == 0.5 and point["accuracy"] > 0.5
    result = open_checkpoint(copy_of_digits).spec.certified.certification
    assert (result.stopping, result.radius_asked, result.n, result.noise) == ("at-radius", 0.5, 2000, "discrete")
    assert (result.mean_n, result.average_certified_radius) == (told["mean_n"], None)
    assert "--noise discrete --stopping at-radius --radius 0.5" in (copy_of_digits / "README.md").read_text()
    table = zoo_command("report", log, "--radii", "0,1", "--figure", tmp_path / "point.png").out
    assert "certified accuracy at 0.5" in table and "rule at-radius" in table and "abstention" in table
    assert "accuracy of the smoothed" not in table and "average" not in table and "at 1" not in table
    refused = zoo_command(*words[:-4], "--radius", 0.25, "--noise", "discrete")
    assert refused.code == 2 and "radius was 0.5, is 0.25)" in refused.err


def test_stopping_anytime_spends_fewer_draws_and_records_its_tolerance(zoo_command, copy_of_digits, tmp_path):
    words = ["certify", copy_of_digits, "--task", "digits", "--skip", 40, "--n", 5000, "--record", "--json"]
    words += ["--stopping", "anytime", "--tolerance", 0.3, "--output", tmp_path / "log.tsv"]
    (told,) = json.loads(zoo_command(*words).out)
    assert told["stopping"] == "anytime" and told["mean_n"] < 5000
    result = open_checkpoint(copy_of_digits).spec.certified.certification
    assert (result.tolerance, result.mean_n, result.n) == (0.3, told["mean_n"], 5000)
    assert result.average_certified_radius == told["average_certified_radius"] > 0


def test_sigma_zero_certifies_nothing_but_measures_the_clean_classifier(zoo_command, digits_checkpoint, tmp_path):
    words = [
        "certify",
        digits_checkpoint.path,
        "--task",
        "digits",
        "--sigma",
        0,
        "--output",
        tmp_path / "l.tsv",
        "--json",
    ]
    (told,) = json.loads(zoo_command(*words).out)
    assert (told["num_images"], told["n"], told["average_certified_radius"]) == (359, 1, 0.0)
    evaluated = json.loads(zoo_command("evaluate", digits_checkpoint.path, "--task", "digits", "--json").out)
    assert told["standard_accuracy"] == evaluated["standard_accuracy"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--n", 9], "the least n is 10"),
        (["--alpha", 1], "alpha must be in (0, 1)"),
        (["--sigma", -1], "sigma must be finite and at least 0"),
        (["--n0", 0], "n0 must be at least 1"),
        (["--noise", "uniform"], "noise must be gaussian or discrete, got 'uniform'"),
        (["--stopping", "anytme"], "unknown stopping rule 'anytme'; known: anytime, at-radius, fixed. Did you mean"),
        (["--stopping", "at-radius"], "at-radius requires the radius to test"),
        (["--radius", 0.5], "radius 0.5 applies only to the stopping rule at-radius, not to fixed"),
        (["--stopping", "anytime", "--radius", 1], "radius 1 applies only to the stopping rule at-radius"),
        (["--tolerance", 0.1], "tolerance 0.1 applies only to the stopping rule anytime, not to fixed"),
        (["--stopping", "anytime", "--tolerance", -1], "tolerance must be finite and at least 0"),
        (["--stopping", "at-radius", "--radius", 3], "radius 3 can never be certified at sigma=0.5"),
        (["--stopping", "anytime", "--n", 5], "the least n is"),
    ],
)
def test_what_can_never_certify_is_refused_before_anything_is_drawn(
    words, said, zoo_command, digits_checkpoint, tmp_path
):
    done = zoo_command("certify", digits_checkpoint.path, "--task", "digits", *words, "--output", tmp_path / "log.tsv")
    assert done.code == 2 and said in done.err and not (tmp_path / "log.tsv").exists()


def test_a_task_of_other_classes_is_refused(zoo_command, digits_checkpoint, tmp_path):
    from tests.training.tasks.test_tasks import write_pictures

    write_pictures(tmp_path / "pictures")
    words = ["--task", f"imagefolder:{tmp_path / 'pictures'}", "--output", tmp_path / "log.tsv"]
    done = zoo_command("certify", digits_checkpoint.path, *words)
    assert done.code == 2 and "was trained on the 10 classes of digits" in done.err


def test_the_same_classes_in_another_order_are_told_so(zoo_command, digits_checkpoint, tmp_path):
    order = "digits#1,0,2,3,4,5,6,7,8,9"
    done = zoo_command("certify", digits_checkpoint.path, "--task", order, "--output", tmp_path / "log.tsv")
    assert done.code == 2 and "in another order, from class 0 on, which is '0' there and '1' here" in done.err
    assert "with --task TASK#CLASS,CLASS,..." in done.err and "--classes" not in done.err


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("1023456789", "in another order, from class 0 on, which is '1' there and '0' here: if its names are in the"),
        ("abcdefghij", "names its 10 classes a, b, c, d, e, f, g, h, i, j, and digits names them 0, 1, 2, "),
        ("abc", "was trained on the 3 classes of unknown, not on the 10 of digits"),
    ],
)
def test_an_imported_network_with_other_classes_is_told_of_the_option_that_names_them(
    names, said, digits_checkpoint, tmp_path
):
    certified = digits_checkpoint.spec.certified.model_copy(
        update={
            "class_names": tuple(names),
            "task": "unknown",
            "origin": Origin(file="a.pt", sha256="ab", format="timm"),
        }
    )
    imported = replace(digits_checkpoint, spec=digits_checkpoint.spec.model_copy(update={"certified": certified}))
    with pytest.raises(TaskError) as refused:
        require_same_classes(imported, open_task("digits", data_dir=tmp_path))
    assert said in str(refused.value) and ("--classes FILE" in str(refused.value)) == (len(names) == 10)
    assert "--task unknown" not in str(refused.value)


def test_a_run_is_resumed_beside_its_own_output_and_bystanders_in_the_data_folder(zoo_command, tmp_path):
    from tests.training.tasks.test_tasks import write_pictures

    root = tmp_path / "pictures"
    write_pictures(root, each=4)
    shutil.copy(root / "cat" / "0.png", root / "cat" / "1.png")
    shutil.copy(root / "cat" / "0.png", root / "cat" / "2.png")
    shutil.copy(root / "cat" / "0.png", root / "cat" / "3.png")
    small = ["--architecture", "resnet10-quarter", "--set", "image_size=32", "--set", "epochs=1"]
    words = ["train", "--task", f"imagefolder:{root}", "--objective", "gaussian", *small, "--output", root / "model"]
    done = zoo_command(*words)
    assert done.code == 0, done.err
    assert "test picture(s) are training pictures too, byte for byte, such as " in done.err
    fitted = open_checkpoint(root / "model").spec.preprocessing
    assert (fitted.fit, fitted.resize, fitted.crop) == ("pad", 32, 32)
    refused = zoo_command(*words, "--resume", "--fit", "crop")
    assert refused.code == 2 and "contains a different run (recipe.fit was 'task', is 'crop'" in refused.err
    (root / "notes.txt").write_text("a bystander")
    shutil.copy(root / "cat" / "0.png", root / "cat" / "._0.png")
    shutil.copy(root / "cat" / "0.png", root / "model" / "certified_accuracy.png")
    resumed = zoo_command(*words, "--resume")
    assert resumed.code == 0, resumed.err
    write_pictures(root, classes=("fox",), each=1)
    refused = zoo_command(*words, "--resume")
    assert refused.code == 2 and "contains a different run (data was " in refused.err


def test_a_damaged_checkpoint_names_the_file_and_both_hashes(zoo_command, copy_of_digits):
    expected = open_checkpoint(copy_of_digits).weights_sha256
    content = bytearray((copy_of_digits / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy_of_digits / "model.safetensors").write_bytes(content)
    done = zoo_command("evaluate", copy_of_digits, "--task", "digits")
    assert done.code == 1 and "model.safetensors is damaged: SHA-256 is " in done.err and expected in done.err


def test_report_reads_published_logs_and_draws_them(zoo_command, tmp_path):
    log = tmp_path / "published.tsv"
    log.write_text(PUBLISHED)
    done = zoo_command("report", log, "--radii", "0,0.5", "--figure", tmp_path / "curve.png", "--json")
    (told,) = json.loads(done.out)
    assert (told["sigma"], told["n"], told["alpha"]) == (None, None, None)
    assert told["average_certified_radius"] == pytest.approx(1.1 / 3)
    assert [(p["radius"], p["accuracy"]) for p in told["certified_accuracy"]] == [(0.0, 2 / 3), (0.5, 1 / 3)]
    assert (tmp_path / "curve.png").exists()
    assert "certified accuracy at 0.5" in zoo_command("report", log).out
    assert zoo_command("report", log, "--radii", "x").code == 2


def test_results_are_recorded_in_a_directory_only_and_never_for_sigma_zero(zoo_command, copy_of_digits, tmp_path):
    words = ["--task", "digits", "--output", tmp_path / "log.tsv", "--record"]
    refused = zoo_command("certify", "owner/name", *words)
    assert refused.code == 2 and "pull it first with zoo pull owner/name DIR" in refused.err
    refused = zoo_command("certify", copy_of_digits, *words, "--sigma", 0)
    assert refused.code == 2 and "sigma 0 gives none" in refused.err


def test_ctrl_c_says_what_was_kept_and_how_to_go_on(zoo_command, tmp_path, monkeypatch):
    def interrupted(*words, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.trainer.train", interrupted)
    words = ["--task", "digits", "--objective", "standard", "--architecture", "resnet10-quarter"]
    done = zoo_command("train", *words, "--output", tmp_path / "c")
    assert done.code == 130 and f"{tmp_path / 'c'} contains the last finished epoch, if any; add --resume" in done.err
