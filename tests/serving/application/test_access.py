"""Who may send requests: tokens from a file that changes, the names of this machine, and what is logged of each."""

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse

from serving.application.access import Access, TokenFile
from serving.application.received import ReadingRoom
from zoo.errors import OverloadError, ServerError

ALICE, BOB = "alices-secret-token", "bobs-secret-token--"


async def app(scope, receive, send):
    """Reads the body and responds."""
    while (await receive()).get("more_body"):
        pass
    await PlainTextResponse("yes")(scope, receive, send)


def ask(access, *, path="/predictions/m", **request):
    async def send():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(access), base_url="http://127.0.0.1:8080") as client:
            return await client.post(path, **request)

    return asyncio.run(send())


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# clients\n\nalice {ALICE}\nbob@x.example\t{BOB}\n")
    return path


def replace(path, text):
    """Replaces the file, as an editor does; its time may be that of the former one, but not its inode."""
    other = path.with_name("other")
    other.write_text(text)
    other.replace(path)


def test_a_token_names_its_client_until_its_line_is_removed(tokens):
    file = TokenFile(tokens)
    assert (file.client_of(ALICE), file.client_of(BOB), file.client_of("x")) == ("alice", "bob@x.example", None)
    replace(tokens, f"bob {BOB}\n")
    assert (file.client_of(ALICE), file.client_of(BOB)) == (None, "bob")


@pytest.mark.parametrize("text", ["alice", "alice short", f"alice {ALICE} more", f"al:ice {ALICE}", "\xff"])
def test_an_invalid_file_is_refused_by_its_line_and_after_a_change_leaves_the_former_tokens(tokens, text, caplog):
    file = TokenFile(tokens)
    replace(tokens, text)
    with pytest.raises(ServerError, match=r"line 1 of .*tokens is not NAME TOKEN"):
        TokenFile(tokens)
    assert file.client_of(ALICE) == "alice" and file.client_of(ALICE) == "alice"
    assert len(caplog.records) == 1 and ALICE not in caplog.text
    tokens.unlink()
    assert file.client_of(ALICE) == "alice"
    with pytest.raises(ServerError, match="the tokens cannot be read"):
        TokenFile(tokens)


def test_a_missing_token_and_a_wrong_one_get_401_and_the_challenge_says_which(tokens):
    lines = []
    access = Access(app, client_of=TokenFile(tokens).client_of, log=lines.append)
    missing, wrong = ask(access), ask(access, headers={"Authorization": "Bearer secret"}, path="/v2/models/m/infer")
    assert (missing.status_code, missing.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (wrong.status_code, wrong.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert wrong.json()["error"] == wrong.json()["message"] and "error" not in missing.json()
    assert ask(access, headers={"Authorization": f"Basic {ALICE}"}).status_code == 401
    assert ask(access, headers={"Authorization": f"bearer {ALICE}"}, content=b"12345").text == "yes"
    assert ask(access, path="/v2/health/ready").status_code == 200, "a probe has no token"
    logged = [(line.client, line.status, line.bytes) for line in lines]
    assert logged[-3:] == [("", 401, 0), ("alice", 200, 5), ("", 200, 0)]
    assert access.num_open == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("LOCALHOST:1", 200), ("evil.example", 403), ("127.0.0.1.evil.example", 403), ("[::1]", 403)],
)
def test_requests_under_another_hosts_name_are_refused(host, status):
    access = Access(app, hosts={"127.0.0.1", "localhost"})
    assert ask(access, headers={"Host": host}).status_code == status
    assert ask(Access(app), headers={"Host": host}).status_code == 200


def test_the_bodies_that_are_being_read_share_a_room_and_leave_it():
    room = ReadingRoom(100)
    with room.place() as first:
        first.add(60)
        with room.place() as second, pytest.raises(OverloadError, match="too many large requests"):
            second.add(41)
        first.add(40)
        first.leave()
        first.add(100)
    assert room.num_bytes == 0
