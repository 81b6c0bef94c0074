"""A network client that the environment's settings prevent is refused with the name of the setting."""

import httpx
import pytest

from tests.zoo.hub.conftest import save
from zoo.download.environment import settings_named
from zoo.download.http import download
from zoo.errors import RequestError

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
SETTINGS = ("SSL_CERT_FILE", "SSL_CERT_DIR", *PROXIES, *(name.lower() for name in PROXIES))
WRONG = {
    "ALL_PROXY": ("socks5://127.0.0.1:9", "ALL_PROXY has the scheme socks5://, which needs the package socksio"),
    "all_proxy": ("socks5h://127.0.0.1:9", "all_proxy has the scheme socks5h://, which needs the package socksio"),
    "HTTPS_PROXY": ("ftp://127.0.0.1:9", "HTTPS_PROXY has the scheme ftp://, which is not supported: give a proxy"),
    "HTTP_PROXY": ("http://127.0.0.1:port", "HTTP_PROXY is not a valid address: give a proxy of the form"),
    "https_proxy": ("socks4://me:secret@127.0.0.1:9", "https_proxy has the scheme socks4://"),
    "SSL_CERT_FILE": (
        "/nonexistent",
        "SSL_CERT_FILE is '/nonexistent', from which no certificates can be read (No such",
    ),
    "NO_PROXY": ("[::1]", "NO_PROXY cannot be used by the network client"),
}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", WRONG)
def test_the_setting_is_named_without_its_password(name, monkeypatch, tmp_path):
    value, said = WRONG[name]
    monkeypatch.setenv(name, value)
    with pytest.raises(RequestError) as refused:
        download("http://127.0.0.1:9/file", tmp_path / "file")
    assert said in str(refused.value) and "unset it" in str(refused.value) and "secret" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_certificates_is_named(monkeypatch, tmp_path):
    (tmp_path / "empty.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "empty.pem"))
    with pytest.raises(RequestError, match=r"SSL_CERT_FILE is '.*empty\.pem', from which no certificates can be read"):
        download("https://127.0.0.1:9/file", tmp_path / "file")


def test_the_setting_that_cannot_be_used_is_named_and_not_another(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(RequestError, match=r"^ALL_PROXY has"), settings_named():
        httpx.Client()


def test_settings_that_can_be_used_are_not_named(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "localhost,::1")
    with settings_named():
        httpx.Client().close()


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY", "SSL_CERT_FILE"])
def test_every_command_that_asks_the_hub_names_the_setting(name, monkeypatch, tmp_path, zoo_command):
    from huggingface_hub.utils import close_session

    value, said = WRONG[name]
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    checkpoint = save(tmp_path / "checkpoint")
    close_session()  # the client makes its connections once in a process
    for words in (["pull", "a/b", tmp_path / "x"], ["show", "a/b"], ["list", "a"], ["push", checkpoint.path, "a/b"]):
        done = zoo_command(*words)
        assert done.code == 2 and said in done.err and "defect" not in done.err


def test_a_client_of_a_server_does_not_read_the_settings(monkeypatch, zoo_command):
    for name, (value, _) in WRONG.items():
        monkeypatch.setenv(name, value)
    done = zoo_command("health", "http://127.0.0.1:9/predictions/x", "--management", "http://127.0.0.1:9")
    assert done.code == 1 and "no answer from http://127.0.0.1:9" in done.err and "defect" not in done.err
