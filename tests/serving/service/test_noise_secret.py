"""The noise secret comes from a file or the operating system, and reaches the workers in their environment."""

import pytest

from serving.service.noise_secret import (
    VARIABLE,
    fresh_noise_secret,
    noise_secret_of_environment,
    read_noise_secret,
)
from zoo.errors import ServerError


def test_a_secret_file_is_read_without_its_line_end(tmp_path):
    path = tmp_path / "secret"
    path.write_text("a" * 64 + "\n")
    assert read_noise_secret(path) == b"a" * 64


@pytest.mark.parametrize("content", [b"", b"short\n", b"x" * 31, b"x" * 5000])
def test_a_file_of_another_length_is_no_secret(tmp_path, content):
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(ServerError, match="bytes, but a noise secret has 32 to 4096"):
        read_noise_secret(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ServerError, match=r"noise secret cannot be read: .*missing: No such file"):
        read_noise_secret(tmp_path / "missing")


def test_a_fresh_secret_differs_each_time_and_survives_the_environment(monkeypatch):
    secret = fresh_noise_secret()
    assert len(secret) == 32 and secret != fresh_noise_secret()
    monkeypatch.delenv(VARIABLE, raising=False)
    assert noise_secret_of_environment() is None
    monkeypatch.setenv(VARIABLE, secret.hex())
    assert noise_secret_of_environment() == secret
