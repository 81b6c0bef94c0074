"""A signature says who vouches for a checkpoint, and goes where what it vouched for is gone."""

import base64
import json
import logging
import shutil
import subprocess

import pytest

from tests.zoo.cards.test_card import EMPIRICAL
from tests.zoo.checkpoints.test_checkpoint import saved
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.checkpoints.signing import make_key, why_not_signed
from zoo.checkpoints.writing import record_results


@pytest.fixture
def key(tmp_path):
    make_key(tmp_path / "key.pem")
    return tmp_path / "key.pem"


@pytest.fixture
def signed(key, tmp_path, zoo_command):
    """A signed checkpoint."""
    saved(tmp_path / "model", "resnet10-quarter")
    assert zoo_command("sign", tmp_path / "model", "--key", key).code == 0
    return tmp_path / "model"


def signature_of(path):
    return json.loads((path / "manifest.sig").read_text())


def test_a_good_signature_passes_and_says_whose_it_is(signed, key, zoo_command):
    done = zoo_command("verify", signed, "--public-key", f"{key}.pub", "--json")
    told = json.loads(done.out)
    assert done.code == 0 and told["signed_by"] == f"{key}.pub"
    assert {check["name"]: check["outcome"] for check in told["checks"]}["signature"] == "passed"


def test_a_signature_that_nobody_gave_a_key_for_is_unchecked_and_not_good(signed, zoo_command):
    done = zoo_command("verify", signed)
    assert done.code == 0 and "unchecked  signature: manifest.sig is not checked: give --public-key" in done.out
    assert done.out.rstrip().endswith("its files agree with each other, their author was not checked")


def test_a_missing_signature_fails_where_one_is_asked_for(signed, key, zoo_command):
    (signed / "manifest.sig").unlink()
    done = zoo_command("verify", signed, "--public-key", f"{key}.pub")
    assert done.code == 1 and "there is no manifest.sig: this checkpoint is not signed" in done.out


def test_a_signature_by_another_key_fails_though_it_names_the_trusted_one(signed, key, tmp_path, zoo_command):
    trusted = signature_of(signed)["public_key"]
    done = zoo_command("sign", signed, "--key", tmp_path / "forger.pem", "--new-key")
    assert done.code == 0 and "keep it secret" in done.err and (tmp_path / "forger.pem").stat().st_mode & 0o77 == 0
    assert "it was signed with another key" in why_not_signed(signed, tmp_path / "key.pem.pub")
    forged = {**signature_of(signed), "public_key": trusted}
    (signed / "manifest.sig").write_text(json.dumps(forged))
    assert "the signature does not match manifest.json" in why_not_signed(signed, tmp_path / "key.pem.pub")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ('{"algorithm": "ed25519", "public_key": "!", "signature": ""}', "is damaged"),
        ('{"algorithm": "none", "public_key": "", "signature": ""}', "has the algorithm 'none'"),
        ('{"algorithm": "ed25519", "public_key": "", "signature": ""}', "signed with another key"),
    ],
)
def test_what_is_no_signature_fails(content, said, signed, key):
    (signed / "manifest.sig").write_text(content)
    assert said in why_not_signed(signed, key.with_name("key.pem.pub"))


def test_one_changed_character_of_the_manifest_fails(signed, key):
    text = (signed / "manifest.json").read_text()
    (signed / "manifest.json").write_text(text + "\n")
    assert "the signature does not match manifest.json" in why_not_signed(signed, key.with_name("key.pem.pub"))


def test_openssl_accepts_the_signature_and_refuses_it_over_another_manifest(signed, key, tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    (tmp_path / "raw.sig").write_bytes(base64.b64decode(signature_of(signed)["signature"]))
    words = ["pkeyutl", "-verify", "-pubin", "-inkey", f"{key}.pub", "-rawin", "-sigfile", str(tmp_path / "raw.sig")]
    for file, code in ((signed / "manifest.json", 0), (signed / "config.json", 1)):
        assert subprocess.run([openssl, *words, "-in", str(file)], capture_output=True).returncode == code


def test_new_results_drop_the_signature_and_say_so(signed, caplog):
    with caplog.at_level(logging.WARNING):
        recorded = record_results(open_checkpoint(signed), empirical=lambda _: EMPIRICAL)
    assert "was rewritten, so its signature was removed: sign it again with zoo sign" in caplog.text
    assert "manifest.sig" not in recorded.published_files and not (signed / "manifest.sig").exists()


def test_a_signature_is_published_and_is_not_in_the_manifest_that_it_signs(signed):
    checkpoint = open_checkpoint(signed)
    assert checkpoint.published_files[-2:] == ("manifest.json", "manifest.sig")
    assert "manifest.sig" not in checkpoint.files


def test_a_key_is_never_overwritten(key, signed, zoo_command):
    before = key.read_bytes()
    done = zoo_command("sign", signed, "--key", key, "--new-key")
    assert done.code == 2 and "a key is never overwritten" in done.err and key.read_bytes() == before


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(content, signed, tmp_path, zoo_command):
    (tmp_path / "no.pem").write_text(content)
    done = zoo_command("sign", signed, "--key", tmp_path / "no.pem")
    assert done.code == 2 and "is not an unencrypted private key in PEM form" in done.err
    done = zoo_command("verify", signed, "--public-key", tmp_path / "no.pem")
    assert done.code == 2 and "is not a public key in PEM form" in done.err
    assert zoo_command("verify", signed, "--public-key", tmp_path / "nowhere").code == 2


def test_a_key_of_another_kind_is_refused(signed, tmp_path, zoo_command):
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    other = generate_private_key(SECP256R1())
    (tmp_path / "ec.pem").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "ec.pub").write_bytes(public)
    assert "is not an Ed25519 key" in zoo_command("sign", signed, "--key", tmp_path / "ec.pem").err
    assert "is not an Ed25519 public key" in zoo_command("verify", signed, "--public-key", tmp_path / "ec.pub").err


def test_a_damaged_checkpoint_is_not_signed(signed, key, zoo_command):
    (signed / "config.json").write_text("{}")
    done = zoo_command("sign", signed, "--key", key)
    assert done.code == 1 and "is damaged" in done.err


@pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")
def test_a_signature_travels_over_the_hub_and_is_checked_there(signed, key, hub, monkeypatch, zoo_command, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert zoo_command("push", signed, "alice/model").code == 0
    assert zoo_command("verify", "alice/model", "--public-key", f"{key}.pub").code == 0
    hub.repository("alice/model").commit("Bob edits the card", {"README.md": b"mine"})
    assert zoo_command("verify", "alice/model", "--public-key", f"{key}.pub").code == 1
