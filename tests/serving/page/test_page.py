"""The page in a real browser, with a service of this process and, in one test, with TorchServe (`zoo serve --ui`)."""

import base64
import io
import re
import threading
from contextlib import contextmanager

import httpx
import pytest
from PIL import Image
from playwright.sync_api import expect

from serving.page.server import serve_page
from tests.axe import violations
from tests.browser import headless_chromium, needs_browser, new_tab
from tests.serving.client.scripted_server import ScriptedServer, answer, reply, reset, stream
from tests.serving.in_process import served_in_process
from tests.serving.protocol.test_protocol import set_answer
from tests.serving.toy import CROP, PADDED_TOY, png, toy_service
from tests.waiting import wait_for
from zoo.models.preprocessing import to_bytes_CHW
from zoo.smoothing.named_rules import rule_from

MODEL = toy_service().spec.name


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    with headless_chromium() as browser:
        yield browser


@pytest.fixture
def tab(browser):
    """A new tab; errors of the page and its console fail the test."""
    tab = new_tab(browser, viewport={"width": 1100, "height": 800})
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield tab
    tab.close()
    # Chromium also reports every refusal of the server on the console.
    assert [error for error in errors if not error.startswith("Failed to load resource")] == []


@contextmanager
def letting_through(service, num_batches):
    """Inside the block, the toy network computes `num_batches` batches and then waits for the gate's next release."""
    base = service.engine.sampler.base
    base.gate = gate = threading.Semaphore(num_batches)
    try:
        yield gate
    finally:
        base.gate = None
        gate.release(1000)


@pytest.fixture
def service():
    """The service of the toy model."""
    return toy_service(max_n=1_000_000_000, max_draws_per_request=10_000_000_000)


@pytest.fixture
def page_url(service):
    """The address of the page, whose server has the toy model."""
    with served_in_process(service) as server_url, serve_page(server_url, [MODEL]) as url:
        yield url


def choose(tab, value, name="digit.png"):
    """Chooses a gray image of this value, or a file with these bytes."""
    content = png(value) if isinstance(value, int) else value
    tab.get_by_label("Choose an image").set_input_files({"name": name, "mimeType": "image/png", "buffer": content})


def ask(tab):
    tab.get_by_role("button", name="Classify").click()


def number(locator):
    return float(locator.inner_text().replace(",", ""))


@needs_browser
def test_the_radius_grows_live_and_ends_with_the_copies_and_the_whole_answer(tab, page_url, service):
    tab.goto(page_url)
    expect(tab.get_by_text("The answer will appear here.")).to_be_visible()
    expect(tab.get_by_role("button", name="Classify")).to_be_disabled()
    choose(tab, 220)
    with letting_through(service, 8) as gate:
        ask(tab)
        expect(tab.get_by_role("status")).to_have_text("Drawing noise…")
        expect(tab.locator("#label")).to_have_text("dog")
        early, early_draws = number(tab.locator("#certified")), number(tab.locator("#draws"))
        early_curve = tab.locator("#chart .curve").get_attribute("d")
        expect(tab.get_by_role("button", name="Stop")).to_be_visible()
        gate.release(1000)
        expect(tab.get_by_role("status")).to_contain_text("Done: ")
    assert 0 < early < number(tab.locator("#certified")) <= 220 / 255 - 0.5, "the exact radius is above"
    assert early_draws < number(tab.locator("#draws"))
    heights = [-float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", tab.locator("#chart .curve").get_attribute("d"))]
    assert (
        heights == sorted(heights)
        and heights[0] < heights[-1]
        and len(heights) > len(re.findall("[ML]", early_curve)) > 0
    )
    expect(tab.get_by_role("img", name=re.compile(r"Certified radius 0\.\d+ after [\d,]+ draws\."))).to_be_visible()
    expect(tab.locator("#meaning")).to_contain_text(
        "still predicts “dog”. The probability that this statement is wrong is at most 0.0608 %"
    )
    for index in range(1, 7):
        copy = tab.get_by_role("img", name=f"Noisy copy {index} of 6")
        assert copy.evaluate("image => image.naturalWidth") == CROP
    tab.get_by_text("Full response (JSON)").click()
    expect(tab.locator("#json")).to_contain_text('"stopping": "anytime"')
    expect(tab.get_by_role("button", name="Stop")).to_be_hidden()


@needs_browser
def test_a_padded_picture_is_shown_whole_as_the_network_sees_it(tab):
    thin, file = Image.new("RGB", (20, 60), (250, 0, 0)), io.BytesIO()
    thin.paste((0, 0, 250), (0, 0, 20, 20))  # a head, which a centre crop would cut off
    thin.save(file, format="PNG")
    service = toy_service(spec=PADDED_TOY)
    with served_in_process(service) as server_url, serve_page(server_url, [MODEL]) as url:
        tab.goto(url)
        choose(tab, file.getvalue())
        ask(tab)
        shown = tab.get_by_role("img", name="The network's input before noise")
        expect(shown).to_be_visible()
        encoded = shown.get_attribute("src").removeprefix("data:image/png;base64,")
    pixels = Image.open(io.BytesIO(base64.b64decode(encoded)))
    expect(tab.locator("#input-text")).to_contain_text(
        "3x16x16 in [0, 1], after resize of the longer side to 16 and pad"
    )
    expected = to_bytes_CHW(thin, PADDED_TOY.preprocessing).permute(1, 2, 0).numpy()
    assert pixels.tobytes() == expected.tobytes()
    assert [pixels.getpixel(at) for at in ((0, 8), (8, 1), (8, 14))] == [(255, 255, 255), (0, 0, 250), (250, 0, 0)]


@needs_browser
def test_an_abstention_is_explained(tab, page_url):
    tab.goto(page_url)
    choose(tab, 128)
    tab.get_by_label("Stop drawing noise").select_option("when a given radius is decided")
    tab.get_by_label("Radius to decide").fill("0.3")
    ask(tab)
    expect(tab.get_by_role("status")).to_contain_text("Done: ")
    expect(tab.locator("#label")).to_have_text("abstained")
    expect(tab.locator("#certified")).to_have_text("0")
    expect(tab.locator("#meaning")).to_contain_text("do not certify radius 0.3")
    expect(tab.locator("#meaning")).to_contain_text("a result, not an error")
    expect(tab.locator("#chart")).to_contain_text("needed for radius 0.3")


@needs_browser
def test_a_radius_is_decided_and_a_fixed_number_of_draws_made(tab, page_url):
    tab.goto(page_url)
    choose(tab, 255)
    tab.get_by_label("Stop drawing noise").select_option("when a given radius is decided")
    tab.get_by_label("Radius to decide").fill("0.25")
    ask(tab)
    expect(tab.locator("#certified")).to_have_text("0.25")
    expect(tab.get_by_role("status")).to_contain_text("Done: ")
    tab.get_by_label("Stop drawing noise").select_option("after a fixed number of draws")
    expect(tab.get_by_label("Radius to decide")).to_be_hidden()
    tab.get_by_label("Draws", exact=True).fill("700")
    tab.get_by_label("Bound").select_option("of the label and the runner-up")
    ask(tab)
    expect(tab.locator("#draws")).to_have_text("700")
    expect(tab.locator("#basis")).to_contain_text("an upper bound of the runner-up's")
    expect(tab.locator("#basis")).to_contain_text(
        re.compile(r"\d+ of 700 votes for the label, \d+ for the runner-up\.")
    )
    expect(tab.locator("#growth")).to_be_hidden()


@needs_browser
def test_a_prediction_shows_votes_and_no_radius(tab, page_url):
    tab.goto(page_url)
    choose(tab, 255)
    tab.get_by_label("label only (fast)").check()
    expect(tab.get_by_label("Stop drawing noise")).to_be_hidden()
    ask(tab)
    expect(tab.get_by_role("status")).to_contain_text("Done: ")
    expect(tab.get_by_role("row", name=re.compile("^dog"))).to_contain_text(re.compile(r"9\d|100"))
    expect(tab.locator("#certified")).to_be_hidden()
    expect(tab.locator("#meaning")).to_contain_text("request a certified radius")


@needs_browser
def test_what_is_wrong_is_said_in_one_sentence_and_the_next_question_is_answered(tab, page_url):
    tab.goto(page_url)
    choose(tab, b"nothing", name="notes.txt")
    expect(tab.get_by_text("notes.txt (no preview)")).to_be_visible()
    ask(tab)
    expect(tab.get_by_role("alert")).to_have_text(re.compile(r"^The data is not an image of the formats .*\.$"))
    choose(tab, 255)
    expect(tab.get_by_role("alert")).to_be_hidden()
    tab.get_by_label("Maximum draws").fill("5")
    ask(tab)
    expect(tab.get_by_role("alert")).to_contain_text("can never certify")
    tab.get_by_label("Maximum draws").fill("500")
    ask(tab)
    expect(tab.get_by_role("status")).to_contain_text("Done: ")
    expect(tab.get_by_role("alert")).to_be_hidden()


UPDATES = [answer(radius=radius, stopping="anytime", final=False) for radius in (0.1, 0.2)]


@needs_browser
@pytest.mark.parametrize(
    ("acts", "message", "shown"),
    [
        ([stream(*UPDATES, ends=False)], re.compile(r"^The model's server broke off: \w"), "0.2"),
        ([stream(*UPDATES)], "The connection to the server was interrupted. Send the request again.", "0.2"),
        (
            [stream(UPDATES[0], {"code": 500, "message": "the server failed; its log gives the reason"})],
            "The server failed",
            "0.1",
        ),
        ([reset], re.compile(r"^The model's server does not answer: \w"), None),
        ([reply(200, b"<html>")], "The server's response with status 200 is not JSON.", None),
        ([reply(429, {"code": 429, "message": "full: try again in 7 s"})], "Full: try again in 7 s.", None),
    ],
)
def test_a_server_that_fails_is_told_and_what_was_certified_stays(acts, message, shown, tab):
    with ScriptedServer(acts) as server, serve_page(server.url.partition("/predictions")[0], ["digits"]) as url:
        tab.goto(url)
        choose(tab, 255)
        ask(tab)
        expect(tab.get_by_role("alert")).to_contain_text(message)
        if shown is None:
            expect(tab.locator("#answer")).to_be_hidden()
        else:
            expect(tab.locator("#certified")).to_have_text(shown)
            expect(tab.get_by_role("status")).to_have_text("The certificate received before the error is valid.")
        expect(tab.get_by_role("button", name="Classify")).to_be_enabled()


@needs_browser
def test_a_label_set_is_shown_as_no_certificate_of_the_image(tab):
    with (
        ScriptedServer([reply(200, set_answer(1, 0)), reply(200, set_answer())]) as server,
        serve_page(server.url.partition("/predictions")[0], ["digits"]) as url,
    ):
        tab.goto(url)
        choose(tab, 255)
        tab.get_by_label("set of labels").check()
        ask(tab)
        expect(tab.locator("#label")).to_have_text("dog, cat")
        expect(tab.locator("#radius-figure")).to_be_hidden()
        expect(tab.locator("#meaning")).to_contain_text("This is not a certificate of this image.")
        expect(tab.locator("#meaning")).to_contain_text("probability of at least 90 %")
        expect(tab.get_by_role("status")).to_have_text("Done: a set of 2 labels.")
        ask(tab)
        expect(tab.locator("#label")).to_have_text("none")
    assert b"set" in server.requests[0] and b"stopping" not in server.requests[0]


@needs_browser
def test_stopping_ends_the_drawing_on_the_server(tab, page_url, service, monkeypatch):
    """The page sends no tolerance. With a tolerance of 0, the drawing does not end before it is stopped."""

    def rule_without_tolerance(name, **settings):
        return rule_from(name, **settings | {"tolerance": 0.0})

    monkeypatch.setattr("serving.protocol.parameters.rule_from", rule_without_tolerance)
    tab.goto(page_url)
    choose(tab, 255)
    tab.get_by_label("Maximum draws").fill("1000000000")
    ask(tab)
    expect(tab.locator("#label")).to_have_text("dog")
    expect(tab.get_by_role("status")).to_have_text("Drawing noise…")  # if not, the text says why
    tab.get_by_role("button", name="Stop").click()
    expect(tab.get_by_role("status")).to_have_text("Stopped. The certificate so far is valid.")
    wait_for(lambda: not service.num_open, "the end of the draws")


@needs_browser
def test_the_page_reacts_while_answers_arrive_faster_than_it_can_draw_them(tab):
    updates = [answer(n=100 + 10 * index, stopping="anytime", final=False) for index in range(20_000)]
    acts = [stream(*updates, ends=False)]
    with ScriptedServer(acts) as server, serve_page(server.url.partition("/predictions")[0], ["digits"]) as url:
        tab.goto(url)
        choose(tab, 255)
        ask(tab)
        expect(tab.get_by_role("alert")).to_contain_text("broke off")
        expect(tab.locator("#draws")).to_have_text("200,090")
        num_points = len(re.findall("[ML]", tab.locator("#chart .curve").get_attribute("d")))
        assert 100 < num_points < 1000


@needs_browser
def test_a_picture_can_be_dropped_even_before_the_models_are_known(browser, page_url):
    tab = new_tab(browser, bypass_csp=True)  # the page's policy forbids the test's script
    held = []
    tab.route("**/models", lambda route: held.append(route))  # the driver needs a plain function
    tab.goto(page_url)
    dropped = tab.evaluate_handle(
        """bytes => {
            const dropped = new DataTransfer();
            dropped.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
            return dropped;
        }""",
        list(png(255)),
    )
    tab.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    expect(tab.get_by_role("img", name="The chosen image, dropped.png")).to_be_visible()
    expect(tab.get_by_role("button", name="Classify")).to_be_disabled()
    held[0].continue_()
    ask(tab)
    expect(tab.locator("#label")).to_have_text("dog")
    tab.close()


@needs_browser
def test_models_that_cannot_be_listed_are_told_of(browser, page_url):
    tab = new_tab(browser)
    tab.route("**/models", lambda route: route.abort())
    tab.goto(page_url)
    expect(tab.get_by_text("The models could not be listed")).to_be_visible()
    expect(tab.get_by_role("button", name="Classify")).to_be_disabled()
    tab.close()


@needs_browser
def test_the_page_is_used_by_keyboard_alone(tab, page_url, service):
    tab.goto(page_url)
    choose(tab, 255)
    reached = []
    for _ in range(5):
        tab.keyboard.press("Tab")
        reached.append(tab.locator(":focus").get_attribute("id") or tab.locator(":focus").get_attribute("name"))
    assert reached == ["file", "mode", "stopping", "n", "ask"]
    with letting_through(service, 8):
        tab.keyboard.press("Enter")
        expect(tab.get_by_role("button", name="Stop")).to_be_focused()
        expect(tab.locator("#label")).to_have_text("dog")
        expect(tab.get_by_label("Choose an image")).to_be_disabled()
        tab.keyboard.press("Enter")
        expect(tab.get_by_role("status")).to_contain_text("Stopped.")
    expect(tab.get_by_role("button", name="Classify")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("status")).to_contain_text("Done: dog")


@needs_browser
def test_a_choice_among_several_models_is_offered(tab, service):
    with served_in_process(service) as server_url, serve_page(server_url, ["other", MODEL]) as url:
        tab.goto(url)
        choose(tab, 255)
        ask(tab)
        expect(tab.get_by_role("alert")).to_have_text(f"Unknown model 'other'; known: {MODEL}.")
        tab.locator("#model").select_option(MODEL)
        ask(tab)
        expect(tab.locator("#label")).to_have_text("dog")


@needs_browser
def test_it_fits_a_narrow_window_follows_the_dark_and_asks_nobody_else(tab, page_url):
    requested = []
    tab.on("request", lambda request: requested.append(request.url))
    tab.emulate_media(color_scheme="dark")
    tab.set_viewport_size({"width": 320, "height": 640})
    tab.goto(page_url)
    choose(tab, 255)
    ask(tab)
    expect(tab.get_by_role("img", name="Noisy copy 6 of 6")).to_be_visible()
    for part in ("form", "#result", "#chart", "#copy-list"):
        box = tab.locator(part).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 320, part
    assert violations(tab) == {}
    shown = Image.open(io.BytesIO(tab.screenshot())).convert("L")
    assert shown.getpixel((2, 2)) < 60
    assert requested and all(url.startswith((page_url, "blob:", "data:")) for url in requested)


def test_only_the_page_itself_on_this_machine_may_ask():
    request = {"files": {"data": png(255)}}
    with ScriptedServer([reply(200, answer())]) as server:
        origin = server.url.partition("/predictions")[0]
        with serve_page(origin, ["digits"], token="secret") as url:
            elsewhere = httpx.post(f"{url}/predictions/digits", headers={"Origin": "http://evil.example"}, **request)
            renamed = httpx.get(url, headers={"Host": "evil.example"})
            unknown = httpx.post(f"{url}/predictions/digit", **request)
            assert (elsewhere.status_code, renamed.status_code, unknown.status_code) == (403, 400, 404)
            assert unknown.json()["message"].endswith("Did you mean 'digits'?")
            assert httpx.get(f"{url}/..%2fserver.py").status_code == 404
            assert httpx.post(f"{url}/predictions/digits", headers={"Origin": url}, **request).json() == answer()
            page = httpx.get(url)
    assert len(server.requests) == 1 and b"Authorization: Bearer secret\r\n" in server.requests[0]
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'") and "secret" not in page.text


def test_a_body_that_the_server_would_refuse_is_not_kept_and_not_relayed(service):
    limit = len(png(255)) + 10
    path = f"/predictions/{MODEL}"

    def parts():  # without a Content-Length
        for _ in range(50):
            yield bytes(100_000)

    with (
        served_in_process(service) as origin,
        serve_page(origin, [MODEL], max_body_bytes=limit) as url,
        httpx.Client(base_url=url, headers={"Content-Type": "image/png"}, timeout=60) as client,
    ):
        for too_large in (bytes(limit + 1), parts()):
            refused = client.post(path, content=too_large)
            assert refused.status_code == refused.json()["code"] == 413
            assert refused.json()["message"] == f"the request has more than {limit:,} bytes, the maximum"
        assert client.post(path, content=png(255)).json()["label"] == 1
    assert service.engine.sampler.base.num_draws > 0


def test_the_relay_streams_line_by_line_and_passes_the_status_on(service):
    with served_in_process(service) as origin, serve_page(origin, [MODEL]) as url:
        address = f"{url}/predictions/{MODEL}"
        fields = {"stopping": "anytime", "stream": "true", "n": "100000", "tolerance": "0"}
        with (
            letting_through(service, 8) as gate,
            httpx.stream("POST", address, files={"data": png(255)}, data=fields, timeout=60) as response,
        ):
            lines = response.iter_lines()
            first = next(lines)
            assert '"final": false' in first and response.headers["Content-Type"].startswith("application/x-ndjson")
            gate.release(100)
        refused = httpx.post(address, content=b"nothing", timeout=60)
        assert refused.status_code == refused.json()["code"] == 415


@needs_browser
@pytest.mark.slow
def test_the_real_server_answers_the_page(tab, served, digit_pngs):
    with serve_page(served.server.url, [served.name]) as url:
        tab.goto(url)
        choose(tab, digit_pngs[0])
        ask(tab)
        expect(tab.get_by_role("status")).to_contain_text("Done: ")
        assert number(tab.locator("#certified")) > 0
        expect(tab.get_by_role("img", name="Noisy copy 6 of 6")).to_be_visible()
        choose(tab, b"nothing")
        ask(tab)
        expect(tab.get_by_role("alert")).to_contain_text("is not an image")
