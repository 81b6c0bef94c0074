"""The page from the disk in a real browser: filter, sort, overlay, deep link, keyboard."""

import json
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.axe import violations
from tests.browser import headless_chromium, needs_browser, new_tab
from tests.zoo.leaderboard.test_collection import PUBLISHED, SEEDS
from training.study.leaderboard_rows import study_rows
from zoo.leaderboard.collection import collect
from zoo.leaderboard.site import write_site

NUM_MODELS = 40
HOSTILE = "<img src=x onerror=alert(1)></script>"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page of the kept entries, some published results, and copies under other names up to 40 rows."""
    folder = tmp_path_factory.mktemp("documents")
    names = ("cohen2019_imagenet_s50", "jeong2020_imagenet_s50", "jeong2020_imagenet_s100", "salman2019_imagenet_s50")
    for name in names:
        for file in PUBLISHED.glob(f"{name}.*"):
            shutil.copyfile(file, folder / file.name)
    document = json.loads((folder / "jeong2020_imagenet_s50.json").read_text())
    study = sorted(SEEDS[2].glob("certified.digits-10.*.s0.json"))[:2]
    for file in study:
        shutil.copyfile(file, folder / file.name)
    num_copies = NUM_MODELS - len(names) - len(study) - len(list(SEEDS[0].iterdir()))
    for at in range(num_copies):
        copy = {**document, "name": HOSTILE if at == 0 else f"copy {at:02}"}
        (folder / f"copy{at}.json").write_text(json.dumps(copy))
    collection = collect([SEEDS[0], folder], readers=(study_rows,))
    assert len(collection.rows) == NUM_MODELS
    return write_site(collection, tmp_path_factory.mktemp("site")).as_uri()


@pytest.fixture(scope="module")
def tab(site):
    """The page in a headless Chromium; every request and every error fails the test."""
    with headless_chromium() as browser:
        tab = new_tab(browser, viewport={"width": 1280, "height": 900}, color_scheme="light")
        problems = []
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on(
            "console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None
        )
        tab.on(
            "request", lambda request: problems.append(request.url) if request.url.partition("#")[0] != site else None
        )
        tab.goto(site)
        yield tab
        assert [problem for problem in problems if not problem.startswith("data:,")] == []


@pytest.fixture
def page(tab):
    """The page in its first state."""
    tab.evaluate("history.replaceState(null, '', location.pathname)")  # the state is in the address
    tab.reload()
    return tab


def names(page):
    return page.locator(".model .name").all_inner_texts()


def accuracies(page):
    """Those of the rows that state one at the chosen radius; the others show a dash."""
    texts = page.locator(".model .accuracy").all_inner_texts()
    return [float(text.split()[0]) for text in texts if text[0].isdigit()]


pytestmark = needs_browser


def test_filters_leave_the_rows_that_fit_and_the_link_shows_them_again(page):
    page.locator("#filters select[name=task]").select_option("imagenet")
    page.locator("#filters select[name=sigma]").select_option("0.5")
    page.get_by_label("Radius", exact=True).fill("1")
    page.locator("#filters select[name=method]").select_option("gaussian")
    assert names(page) == ["cohen2019_imagenet_s50"] and accuracies(page) == [37.2]
    expect(page.get_by_text(f"1 of {NUM_MODELS} rows")).to_be_visible()
    page.get_by_label("Show cohen2019_imagenet_s50 in the chart").check()
    link = page.evaluate("location.href")
    assert {"task=imagenet", "sigma=0.5", "radius=1", "method=gaussian"} <= set(link.partition("#")[2].split("&"))
    page.reload()
    assert page.evaluate("location.href") == link
    assert names(page) == ["cohen2019_imagenet_s50"]
    expect(page.get_by_label("Show cohen2019_imagenet_s50 in the chart")).to_be_checked()
    page.evaluate("location.hash = '#least=80&radius=0.25'")
    expect(page.get_by_label("Certified at least (%)", exact=True)).to_have_value("80")
    assert min(accuracies(page)) >= 80


def test_rows_are_sorted_within_comparable_groups_or_all_together_with_a_note(page):
    groups = page.locator("#table tbody").all()
    assert len(groups) == page.locator(".group").count() > 4
    for group in groups:
        values = [text.split()[0] for text in group.locator(".accuracy").all_inner_texts()]
        assert values == sorted(values, key=float, reverse=True)
    expect(page.locator("#mixed")).to_be_hidden()
    page.get_by_role("checkbox", name="group comparable results").uncheck()
    assert accuracies(page) == sorted(accuracies(page), reverse=True) and len(accuracies(page)) == NUM_MODELS
    for condition in ("task", "images", "n", "alpha"):
        expect(page.locator("#mixed li strong", has_text=re.compile(f"^{condition}$"))).to_be_visible()
    page.get_by_role("button", name="Model", exact=True).press("Enter")
    assert names(page) == sorted(names(page), key=str.lower)
    expect(page.get_by_role("columnheader", name="Model")).to_have_attribute("aria-sort", "ascending")
    page.locator("#filters select[name=sort]").select_option("-n")
    draws = [int(text.replace(",", "")) for text in re.findall(r" n ([\d,]+)", page.locator("#table").inner_text())]
    assert draws == sorted(draws, reverse=True) and len(set(draws)) > 2


def test_curves_lie_over_one_another_as_steps_and_differences_are_named(page):
    page.evaluate("location.hash = '#select='")
    expect(page.get_by_text("Tick models in the table")).to_be_visible()
    page.get_by_label("Show jeong2020_imagenet_s50 in the chart").press("Space")
    page.get_by_label("Show salman2019_imagenet_s50 in the chart").check()
    expect(page.locator("#chart .curve")).to_have_count(2)
    assert re.fullmatch(
        r"M[\d.]+ [\d.]+(H[\d.]+V[\d.]+)+H[\d.]+", page.locator("#chart .curve").first.get_attribute("d")
    )
    expect(page.locator("#differs")).to_be_hidden()
    page.get_by_label("Show cohen2019_imagenet_s50 in the chart").check()
    assert page.locator("#differs li").all_inner_texts() == ["alpha: 0.001; not stated"]
    page.locator(".model", has_text="miniature/").first.get_by_role("checkbox").check()
    expect(page.locator("#chart .point")).to_have_count(4)
    expect(page.locator("#differs li strong")).to_have_text(["task", "images", "n", "alpha"])
    assert (
        "jeong2020_imagenet_s50: certified accuracy at radius 0.5 is 50.2 %."
        in page.locator("#chart desc").text_content()
    )
    page.get_by_role("button", name="Remove cohen2019_imagenet_s50 from the chart").click()
    expect(page.locator("#legend li")).to_have_count(3)


def test_details_lead_to_the_document_and_the_log(page, site):
    page.get_by_role("button", name="jeong2020_imagenet_s50", exact=True).press("Enter")
    details = page.locator(".details")
    expect(details).to_contain_text("Jeong and Shin 2020")
    expect(details).to_contain_text("m 2, lbd 5, eta 0.5")
    hrefs = [link.get_attribute("href") for link in details.get_by_role("link").all()]
    copies = [href for href in hrefs if href.startswith("files/")]
    assert len(copies) == 2 and all((Path(site.removeprefix("file://")).parent / href).is_file() for href in copies)
    assert any(href.startswith("https://raw.githubusercontent.com/jh-jeong/") for href in hrefs)


def test_the_details_of_a_log_show_each_class_at_the_chosen_radius(page):
    page.locator(".name", has_text="mnist-3-4-6-7-9").click()
    classes = page.locator(".per-class")
    shares = ["72.2 %", "79.3 %", "50.0 %", "83.3 %", "83.3 %", "73.6 %"]  # as `zoo report` prints them
    expect(classes.locator(".number")).to_have_text(shares)
    expect(classes.locator("li").first).to_contain_text("Dress36 images")
    expect(classes.locator(".mean")).to_contain_text("mean of 5 classes157 images")
    expect(classes).to_contain_text("at radius 0.5. Dashed line: always answering Dress, 22.9 %.")
    assert [float(bar.get_attribute("width")) for bar in classes.locator(".share").all()][2] == 50
    page.get_by_label("Radius", exact=True).fill("1")
    expect(classes.locator(".number").first).to_have_text("69.4 %")
    page.get_by_role("button", name="jeong2020_imagenet_s50", exact=True).click()
    expect(classes).to_have_count(1)


def test_forty_models_are_filtered_in_less_than_a_tenth_of_a_second(page):
    measure = """(value) => {
      const control = document.querySelector("[name=task]");
      const start = performance.now();
      control.value = value;
      control.dispatchEvent(new Event("input", { bubbles: true }));
      document.body.getBoundingClientRect();
      return performance.now() - start;
    }"""
    times = [page.evaluate(measure, value) for value in ("imagenet", "digits", "", "imagenet", "")]
    assert len(names(page)) == NUM_MODELS and min(times) < 100, times


def test_text_of_a_document_stays_text(page):
    page.get_by_role("button", name=HOSTILE, exact=True).click()
    expect(page.locator("img")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_fits_its_window_has_the_contrast_of_aa_and_axe_finds_nothing(page, width, scheme):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.get_by_role("checkbox", name="group comparable results").uncheck()
    page.get_by_role("button", name="jeong2020_imagenet_s50", exact=True).click()
    page.locator(".name", has_text="mnist-3-4-6-7-9").click()
    page.locator("#how summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(LOW_CONTRAST) == []
    assert scheme == "dark" or violations(page) == {}


# The ratio of WCAG 2 between the colour of each element with text of its own and the nearest opaque background.
LOW_CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (color) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgba(color).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (rgba(color)[3] === 255) return color;
    }
    return "white";
  };
  const low = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const isText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!isText || !element.checkVisibility() || element.closest("script, style, desc, option")) continue;
    const style = getComputedStyle(element), color = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [luminance(color), luminance(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.add(`${element.tagName} ${element.className} ${color}`);
  }
  return [...low];
}"""
