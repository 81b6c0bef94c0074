"""Bodies that a careless, broken or hostile client sends, as hypothesis strategies."""

import base64
import io
import json
import struct
import zlib

from hypothesis import strategies as st
from PIL import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO")
PARAMETERS = (
    "mode", "stopping", "noise", "n", "n0", "alpha", "radius", "tolerance", "deadline_ms", "stream", "copies",
    "input_image", "seed",
)  # fmt: skip
ODD_VALUES = (
    "", " ", "0", "-1", "1e9", "1e400", "nan", "inf", "-inf", "true", "false", "null", "None", "\u0661\u0662", "0x10",
    "0.5", "50", "certify", "predict", "fixed", "anytime", "at-radius", "gaussian", "discrete", "9" * 400, "1" * 5000,
    "\x00", "\r\nSet-Cookie: a=b", "\u00e9",
)  # fmt: skip


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


PICTURES = [encoded(Image.linear_gradient("L").resize((9, 7)).convert("RGB"), kind) for kind in FORMATS] + [
    encoded(Image.new("RGBA", (5, 5), (9, 8, 7, 6)), "PNG"),
    encoded(Image.new("CMYK", (5, 5)), "JPEG"),
    encoded(Image.new("I;16", (5, 5)), "PNG"),
    encoded(Image.new("1", (1, 1)), "PNG"),
]


def _bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@st.composite
def damaged(draw) -> bytes:
    """A picture with bytes changed, cut out, or put in."""
    data = bytearray(draw(st.sampled_from(PICTURES)))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(("flip", "cut", "insert", "truncate"))):
            case "flip" if data:
                data[at] ^= draw(st.integers(1, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 30))]
            case "insert":
                data[at:at] = draw(st.binary(max_size=8))
            case "truncate":
                del data[at:]
    return bytes(data)


images = st.one_of(
    damaged(),
    damaged(),
    st.binary(max_size=200),
    st.builds(_bomb, st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)),
    st.builds(lambda head, tail: head + tail, st.sampled_from([p[:12] for p in PICTURES]), st.binary(max_size=100)),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=10),
    st.sampled_from(ODD_VALUES),
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
known = st.sampled_from(PARAMETERS)
parameters = st.dictionaries(known, scalars, max_size=4)


@st.composite
def one_part_replaced(draw):
    """A valid JSON body with parameters, then one part of it replaced by anything, taken out, or put in."""
    b64 = base64.b64encode(draw(st.sampled_from(PICTURES) | damaged())).decode()
    if draw(st.booleans()):
        body = {"instances": [{"b64": b64}]}
    else:
        tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [b64]}
        body = {"inputs": [tensor], "id": "1", "outputs": [{"name": "label"}]}
    body["parameters"] = draw(parameters)
    part = body
    while isinstance(part, dict | list) and part:
        place = draw(st.sampled_from(sorted(part)) if isinstance(part, dict) else st.integers(0, len(part) - 1))
        if not isinstance(part[place], dict | list) or draw(st.booleans()):
            break
        part = part[place]
    match draw(st.sampled_from(("nothing", "replace", "remove", "add"))):
        case "replace" if part:
            part[place] = draw(anything)
        case "remove" if part:
            del part[place]
        case "add" if isinstance(part, dict):
            part[draw(st.text(max_size=8))] = draw(anything)
        case "add":
            part.append(draw(anything))
    return body


json_bodies = one_part_replaced() | anything
forms = st.builds(
    lambda image, texts, more: image | texts | more,
    st.one_of(
        st.fixed_dictionaries({"data": images}),
        st.fixed_dictionaries({"data": st.sampled_from(PICTURES)}),
        st.fixed_dictionaries({"data_0": images}, optional={"data_3": images, "data": images}),
    ),
    st.dictionaries(known, scalars.map(lambda value: str(value).encode("utf-8", "surrogatepass")), max_size=3),
    st.dictionaries(st.text(min_size=1, max_size=8), st.binary(max_size=8), max_size=1),
)


@st.composite
def broken_json(draw) -> bytes:
    """The text of a JSON body, cut off or with a byte changed."""
    text = bytearray(json.dumps(draw(json_bodies)).encode())
    at = draw(st.integers(0, len(text) - 1))
    if draw(st.booleans()):
        return bytes(text[:at])
    text[at] = draw(st.integers(0, 255))
    return bytes(text)


def _multipart(fields: dict[str, bytes]) -> bytes:
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in fields.items()
    ]
    return b"".join([*parts, b"--edge--\r\n"])


def _quotable(fields: dict[str, bytes]) -> dict[str, bytes]:
    """With names that can stand in a part's head, which TorchServe itself reads."""
    return {"".join(c for c in name if c.isalnum() and c.isascii()) or "x": value for name, value in fields.items()}


@st.composite
def _cut(draw, body: bytes) -> bytes:
    return body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) else body


FORM = "multipart/form-data; boundary=edge"
odd_headers = st.dictionaries(
    st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,15}", fullmatch=True).map(lambda name: f"X-{name}")
    | st.sampled_from(("Explain", "Describe", "Accept", "Cookie", "Content-Encoding", "X-Request-Id", "Authorization")),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30).map(str.strip)
    | st.just("True"),
    max_size=2,
)
bodies = st.one_of(
    st.tuples(
        images, st.sampled_from(("application/octet-stream", "image/png", "text/plain", ";;;", "multipart/form-data"))
    ),
    st.tuples(
        broken_json() | json_bodies.map(lambda body: json.dumps(body).encode()),
        st.sampled_from(("application/json", "application/json; charset=nonsense", "Application/JSON", "image/png")),
    ),
    st.tuples(forms.map(_quotable).map(_multipart).flatmap(_cut), st.just(FORM)),
    st.tuples(st.binary(max_size=100), st.just(FORM)),
)
requests = st.tuples(bodies, odd_headers).map(
    lambda drawn: {
        "content": drawn[0][0],
        "headers": {**{name: text.encode("latin-1") for name, text in drawn[1].items()}, "Content-Type": drawn[0][1]},
    }
)
