"""What a test asks of a page of HTML: its links, its images, its anchors, its text."""

from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """A page, read from its file."""

    def __init__(self, path: Path) -> None:
        """Reads the page."""
        super().__init__()
        self.links: list[str] = []
        self.images: list[str] = []
        self.anchors: set[str] = set()
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what a tag names."""
        given = dict(attrs)
        if given.get("id"):
            self.anchors.add(given["id"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "img":
            self.images.append(given["src"])

    def handle_data(self, data: str) -> None:
        """Notes the text."""
        self.text += data
