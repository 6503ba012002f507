"""The pages in a real browser, opened from disk: they fetch nothing, complain of nothing, and work by mouse and
keyboard. `make test-pages` runs them; SHOTS=folder keeps a picture of each, phone and desktop, light and dark."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.files import write_text
from common.options import Options
from common.report.competition_page import Known, Leaderboard, write_competition_page
from common.report.index_page import write_index
from common.report.run_page import write_run_page
from common.report.study_page import write_study_page
from common.study import tables
from common.study.figures.interactive import write_page as write_figures
from common.study.parameters import counted
from common.study.trend import ABOVE
from competitions import load
from tests.made_up_runs import made_up_run
from tests.small_data import RECIPE, write_small_aptos

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("chromium"), reason="there is no chromium: make test-pages installs it"),
]

APTOS, HPA = load("aptos"), load("hpa")
GRADES = RECIPE.with_fields(input_size=64, loss="smooth_l1", decision="thresholds", flips="both")
NAMES = ("run", "several-classes", "competition", "index", "study")
FIGURES = "figures"
"""The page that `make study-figures` writes beside its pictures."""
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE, SMALL_PHONE = (
    {"viewport": {"width": n, "height": 844}, "is_mobile": True, "has_touch": True} for n in (390, 360)
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Name → a page of every kind, of made-up runs."""
    folder = tmp_path_factory.mktemp("pages")
    root, raw = folder / "runs", write_small_aptos(folder / "raw")
    train, options = APTOS.read_train(raw), Options(device="cpu")
    runs = [
        made_up_run(root, APTOS, GRADES.with_fields(seed=seed), train, 0.2 * seed, weights=seed == 1)
        for seed in (1, 2, 3)
    ]
    runs.append(made_up_run(root, APTOS, GRADES.with_fields(epochs=4), train.head(40), 0.2))
    found = {"run": write_run_page(APTOS, runs[0], train, "sample data", options)[0]}
    labels = [f"{i % 25} {i % 25 + 3}" for i in range(300)]
    proteins = pd.DataFrame({"id": [f"{i:04}" for i in range(300)], "label": labels})
    several = made_up_run(root, HPA, RECIPE.with_fields(loss="bce", decision="prevalence"), proteins, 0.3)
    found["several-classes"] = write_run_page(HPA, several, None, "", options)[0]
    found["competition"] = write_competition_page(known(root, runs))[0]
    found["study"] = write_study_page(root)[0]
    write_figures(folder / "study.html", tables.scores(), counted(), ABOVE)
    return found | {FIGURES: folder / "study.html", "index": write_index(root)[0]}


def known(root: Path, runs) -> Known:
    """With an ablation, a study and a leaderboard."""
    ids = [run.id for run in runs]
    ablation = f"without,score,brings,low,high,beyond_noise,runs\n,0.8,,0.7,0.9,,{ids[0]}\n"
    ablation += f"tta,0.7,0.1,0.05,0.15,yes,{ids[1]}\ndecision,0.79,0.01,-0.02,0.03,no,{ids[2]}\n"
    write_text(root / "aptos" / f"ablation-{ids[0]}.csv", ablation)
    trials = "trial,state,augment,strength,score,low,high,gain,gain_low,gain_high,epochs,runs,reason\n"
    for number, strength in enumerate(np.linspace(0, 2, 6)):
        policy = ("base", "heavy")[number % 2]
        trials += f"{number},complete,{policy},{strength},{0.8 - strength / 10},0.6,0.9,0.0,-0.1,0.1,3,{ids[0]},\n"
    write_text(root / "aptos" / "studies" / "strength-1" / "trials.csv", trials)
    points = [{"run": id_, "cv": 0.8 - i / 20, "public": 0.75 - i / 20, "private": 0.7} for i, id_ in enumerate(ids)]
    board = Leaderboard("practice: sample data", points, ["practice: sample data: 4 runs"])
    return Known(APTOS, runs, dict.fromkeys(ids, "sample data"), [board], root)


@dataclass
class Opened:
    """A page in the browser, and what it asked for and complained of since it was opened."""

    page: "playwright.Page"
    asked: list[str]
    complaints: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as driver:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = driver.chromium.launch(executable_path=shutil.which("chromium"), args=sandbox)
        yield opened
        opened.close()


@pytest.fixture
def look(browser, pages):
    """`look(name, screen, scheme)` → the page, opened from disk."""
    contexts = []

    def opened(name: str, screen: dict = DESKTOP, scheme: str = "light") -> Opened:
        context = browser.new_context(**screen, color_scheme=scheme)
        contexts.append(context)
        there = Opened(context.new_page(), [], [])
        there.page.on("request", lambda request: there.asked.append(request.url))
        there.page.on("pageerror", lambda error: there.complaints.append(str(error)))
        there.page.on("console", lambda said: there.complaints.append(said.text) if said.type == "error" else None)
        there.page.goto(pages[name].as_uri())
        return there

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", [*NAMES, FIGURES])
def test_a_page_opens_from_disk_without_a_complaint_and_asks_for_nothing(look, pages, name):
    there = look(name)
    there.page.wait_for_timeout(300)
    assert there.complaints == []
    assert [url for url in there.asked if not url.startswith("data:")] == [pages[name].as_uri()]
    assert pages[name].stat().st_size < 5e6


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_no_serious_violation(look, name, scheme):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(look(name, scheme=scheme).page).response["violations"]
    grave = [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]
    assert grave == []


OUTSIDE = """(all) => all.filter((one) => {
  const box = one.getBoundingClientRect();
  return box.width && box.right > document.documentElement.clientWidth && !one.closest(".scroll");
}).map((one) => one.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("screen", [SMALL_PHONE, PHONE, DESKTOP], ids=["360", "390", "1280"])
@pytest.mark.parametrize("name", [*NAMES, FIGURES])
def test_a_page_fits_its_width(look, name, screen):
    page = look(name, screen).page
    page.wait_for_timeout(200)
    width = screen["viewport"]["width"]
    assert page.evaluate("document.documentElement.clientWidth") == width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("body *").evaluate_all(OUTSIDE) == []
    for scheme in ("light", "dark") if "SHOTS" in os.environ else ():
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=Path(os.environ["SHOTS"]) / f"{name}-{width}-{scheme}.png", full_page=True)


def panels(page, figure: str) -> list[dict[str, float]]:
    """The boxes of a figure's panels, row by row."""
    found = [one.bounding_box() for one in page.locator(f"#{figure} .nsewdrag").all()]
    return sorted(found, key=lambda box: (box["y"], box["x"]))


@pytest.mark.parametrize("name", ["study", FIGURES])
@pytest.mark.parametrize(("screen", "columns"), [(SMALL_PHONE, 1), (DESKTOP, 3)], ids=["360", "1280"])
def test_the_panels_of_the_study_stand_beside_each_other_where_there_is_room_and_nothing_overlaps(
    look, name, screen, columns
):
    page = look(name, screen).page
    page.wait_for_timeout(500)
    first, second = panels(page, "by-imagenet"), panels(page, "by-size")
    assert len(first) == len(second) == 6
    assert len({round(box["x"]) for box in first}) == columns
    assert all(box["width"] > 240 and box["height"] > 200 for box in first + second)
    beneath = page.locator("#by-size").bounding_box()
    assert max(box["y"] + box["height"] for box in first) + 30 < beneath["y"]
    legend = page.locator("#by-size .legend").bounding_box()
    assert beneath["y"] <= legend["y"]
    assert legend["y"] + legend["height"] <= page.locator("#by-size .annotation").first.bounding_box()["y"]


def test_the_figures_of_the_study_follow_the_window(look):
    page = look("study").page
    page.set_viewport_size({"width": 800, "height": 900})
    page.wait_for_timeout(500)
    assert len({round(box["x"]) for box in panels(page, "by-imagenet")}) == 2


def test_a_finger_on_a_figure_scrolls_the_page_and_changes_nothing(look):
    page = look("study", PHONE).page
    page.wait_for_timeout(500)
    before = page.evaluate("document.getElementById('by-imagenet').layout.xaxis.range")
    touch = page.context.new_cdp_session(page).send
    for kind, y in [("touchStart", 600), *(("touchMove", y) for y in range(580, 180, -20))]:
        touch("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": 200, "y": y}]})
    touch("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(500)
    assert page.evaluate("scrollY") > 200
    assert page.evaluate("document.getElementById('by-imagenet').layout.xaxis.range") == before


def test_a_marker_of_the_study_tells_its_model(look):
    page = look("study").page
    page.wait_for_timeout(500)
    box = page.locator("#by-imagenet .scatterlayer .point").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert ":" in page.locator("#by-imagenet .hoverlayer .hovertext").first.text_content()


def column(page, head: str) -> list[str]:
    """The shown cells of a column of the table of runs."""
    place = page.locator("#runs thead th").all_inner_texts().index(head)
    return page.locator(f"#runs tbody tr:not([hidden]) td:nth-child({place + 1})").all_inner_texts()


def test_a_table_sorts_by_mouse_and_by_keyboard(look):
    page = look("competition").page
    page.locator("#runs thead").get_by_role("button", name="score").click()
    falling = [float(score) for score in column(page, "score")]
    assert falling == sorted(falling, reverse=True)
    assert page.locator("#runs th", has_text="score").get_attribute("aria-sort") == "descending"
    page.locator("#runs thead").get_by_role("button", name="score").focus()
    page.keyboard.press("Enter")
    assert [float(score) for score in column(page, "score")] == falling[::-1]
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator("#runs th", has_text="low").get_attribute("aria-sort") == "descending"
    assert page.locator("#runs th", has_text="score").get_attribute("aria-sort") is None


def runs_of(page) -> dict[int, str]:
    """Seed → id of the run with as many epochs as the others; 0: the one with four, which holds out other rows."""
    recipes = page.evaluate("JSON.parse(document.getElementById('known').textContent).recipes")
    return {recipe["seed"]: name for name, recipe in recipes.items()}


def test_a_filter_shows_the_rows_with_all_its_words(look):
    page = look("competition").page
    page.get_by_label("Show rows with").first.focus()
    wanted = runs_of(page)[3]
    page.keyboard.type(f"SAMPLE {wanted[:9]}")
    assert page.locator("#runs-count").inner_text() == "1 of 4 rows"
    assert column(page, "run") == [wanted]
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    assert len(column(page, "run")) == 4


def test_two_runs_are_compared_by_mouse_and_by_keyboard(look):
    page = look("competition").page
    first, second, told = (page.locator(f"#{name}") for name in ("first", "second", "difference"))
    ids = runs_of(page)
    one, two, few = ids[1], ids[3], ids[0]
    first.select_option(one)
    second.select_option(two)
    forth = told.inner_text()
    assert "paired bootstrap" in forth
    assert page.locator("#fields tbody tr").all_inner_texts()[-1].split("\t")[0] == "seed"
    first.select_option(two)
    second.select_option(one)
    there, back = (text.split("difference ")[1].split(",")[0] for text in (forth, told.inner_text()))
    assert (there[0], there[1:]) == ({"+": "−", "−": "+"}[back[0]], back[1:])
    second.select_option(few)
    assert "hold out other rows" in told.inner_text()
    second.focus()
    page.keyboard.press("Home")
    assert second.input_value() == second.locator("option").first.get_attribute("value")
    assert ids[3] in told.inner_text() or "same run twice" in told.inner_text()


def test_the_numbers_of_a_chart_open_by_keyboard(look):
    page = look("run").page
    page.get_by_text("Numbers of Training loss").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("region", name="Numbers of Training loss").is_visible()


def test_the_first_tab_skips_to_the_content(look):
    page = look("run").page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_every_picture_has_a_text_and_loads(look):
    pictures = look("run").page.locator("img").evaluate_all("all => all.map((one) => [one.alt, one.naturalWidth])")
    assert {text.split()[0] for text, _ in pictures} == {"image", "where", "Training"}
    assert all(text and width for text, width in pictures)
