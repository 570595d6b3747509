"""The built pages: they build without a warning, no link is broken, and the reference is whole."""

import importlib
import re
from urllib.parse import unquote

import click
import pytest
from messages import messages
from pages import Page
from places import ROOT
from sphinx.util.inventory import InventoryFile

from tf_mavg_cli.program import tf_mavg as program

MODULES = ["tf_mavg", *(f"tf_mavg.{name}" for name in ("ops", "decays", "posthoc", "merge"))]
MODULES += ["tf_mavg.convert", "tf_mavg.keras", "tf_mavg.tf_keras"]
# Where the reference has a name that several modules have.
ELSEWHERE = {
    "tf_mavg.posthoc.exponent_of": "tf_mavg.decays.exponent_of",
    "tf_mavg.posthoc.sigma_rel_of": "tf_mavg.decays.sigma_rel_of",
    "tf_mavg.merge_checkpoints": "tf_mavg.merge.merge_checkpoints",
    "tf_mavg.convert_checkpoint": "tf_mavg.convert.convert_checkpoint",
}
HAVE_PAGES = {"tf_mavg.__version__", "tf_mavg.decays", "tf_mavg.ops", "tf_mavg.posthoc"}


@pytest.fixture(scope="module")
def built(site):
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_page_is_built(built, site):
    sources = {
        path.relative_to(ROOT / "docs").with_suffix(".html")
        for path in (ROOT / "docs").rglob("*.md")
    }
    assert sources <= {path.relative_to(site) for path in built}


def test_every_link_leads_to_a_page_and_an_anchor(built):
    followed = 0
    for path, page in built.items():
        for link in page.links:
            if re.match(r"\w+:", link):
                assert link.startswith("https://"), link
                continue
            name, _, anchor = unquote(link).partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.exists(), f"{path.name}: {link}"
            if anchor and target.suffix == ".html":
                assert anchor in built[target].anchors, f"{path.name}: {link}"
            followed += 1
    assert followed > 1000


def test_no_page_shows_its_markup(built):
    for path, page in built.items():
        assert (
            re.findall(r"^ *(?:\.\. [\w-]+::|```|:::|\{\w+\}`).*", page.text, re.MULTILINE) == []
        ), path


def test_every_image_is_there(built):
    images = [path.parent / unquote(src) for path, page in built.items() for src in page.images]
    assert len(images) >= 2
    assert [image for image in images if not image.exists()] == []


def test_the_reference_has_every_public_name(site):
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    known = {name for kind, names in inventory.data.items() if "py:" in kind for name in names}
    for module in MODULES:
        for name in importlib.import_module(module).__all__:
            full = f"{module}.{name}"
            assert ELSEWHERE.get(full, full) in known | HAVE_PAGES


def commands(command, path):
    """A command and all below it, each with what calls it."""
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, f"{path} {name}")


def test_the_reference_has_every_command_and_option(built, site):
    text = " ".join(built[site / "reference" / "cli.html"].text.split())
    for path, command in commands(program, "tf_mavg"):
        assert path in text
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.opts[-1] in text, (path, parameter.name)


def test_the_list_of_messages_has_all(built, site):
    text = " ".join(built[site / "reference" / "messages.html"].text.split())
    expected = [" ".join(one.text.replace("`", "").split()) for one in messages(ROOT)]
    assert [message for message in expected if message not in text] == []
