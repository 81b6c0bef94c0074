"""JSON of unknown origin is parsed as far as our files are nested; deeper nesting is an ordinary error."""

import json

import pytest

from zoo.host.untrusted_json import MAX_DEPTH, parse_json


@pytest.mark.parametrize(
    "text", ['{"a": [1, {"b": null}]}', "[]", "3", b'"\xc3\xa4"', "[" * MAX_DEPTH + "]" * MAX_DEPTH]
)
def test_json_is_parsed(text):
    assert parse_json(text) == json.loads(text)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 900, 990, 1_000, 200_000])
def test_deep_nesting_is_an_error_like_every_other(depth):
    for text in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        with pytest.raises(ValueError, match="nested deeper than 100 levels"):
            parse_json(text)


@pytest.mark.parametrize("text", ["", "{", b"\xff", "[" * 200_000])
def test_what_is_no_json_is_an_error(text):
    with pytest.raises(ValueError):  # the message is the parser's
        parse_json(text)
