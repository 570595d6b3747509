"""The pages as a reader sees them, in headless Chromium at the widths of a desktop and a phone.

They need playwright from PyPI, and Chromium from the system. Where one is missing, the tests are
skipped; `make docs-test` fails then, and says what it needs.
"""

import os
import shutil

import pytest
from places import ROOT

CHROMIUM = os.environ.get("TF_MAVG_CHROMIUM") or shutil.which("chromium")
PAGES = sorted(
    path.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
    for path in (ROOT / "docs").rglob("*.md")
)
# Pixels: a laptop's window, a phone's.
WIDTHS = {"desktop": 1280, "phone": 390}

# What is wider than the window, and is in nothing that scrolls below the article.
TOO_WIDE = """() => {
  const article = document.querySelector('article');
  const width = document.documentElement.clientWidth;
  const scrolls = (e) => e !== article && (
    ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  return [...article.querySelectorAll('*')]
    .filter((e) => e.getBoundingClientRect().right > width + 1 && !scrolls(e))
    .map((e) => e.outerHTML.slice(0, 120));
}"""
MISSING_IMAGES = "() => [...document.images].filter((i) => !i.naturalWidth).map((i) => i.src)"


def _needs(what: str) -> None:
    if os.environ.get("TF_MAVG_BROWSER_TESTS") == "required":
        pytest.fail(what)
    pytest.skip(f"{what} `make docs-test` runs these tests.")


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - a group of its own.
    except ImportError:
        _needs("The pages need playwright: pip install --group docs-test.")
    if CHROMIUM is None:
        _needs("The pages need Chromium: apt-get install chromium, or set TF_MAVG_CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(request):
    """Their folder: they are built where there is a browser to look at them."""
    request.getfixturevalue("browser")
    return request.getfixturevalue("site")


@pytest.fixture(scope="module", params=WIDTHS.values(), ids=WIDTHS)
def tab(browser, request):
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_all_that_it_has(tab, pages, name):
    errors = []
    tab.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("requestfailed", lambda request: errors.append(request.url))
    tab.goto((pages / name).as_uri())
    assert tab.locator("article h1").first.is_visible()
    assert tab.evaluate(TOO_WIDE) == []
    assert tab.evaluate(MISSING_IMAGES) == []
    assert errors == []


def test_a_wide_table_scrolls_by_itself(tab, pages):
    """That the test above sees what is too wide, where its style is taken away."""
    tab.goto((pages / "speed.html").as_uri())
    assert tab.evaluate(TOO_WIDE) == []
    tab.add_style_tag(content=".table-wrapper, article * { overflow: visible !important; }")
    assert tab.evaluate(TOO_WIDE) != []


def test_the_search_finds_a_page(tab, pages):
    tab.goto((pages / "search.html").as_uri() + "?q=swapped_for_saving")
    found = tab.locator("#search-results li a")
    found.first.wait_for()
    assert any("files.html" in link.get_attribute("href") for link in found.all())
