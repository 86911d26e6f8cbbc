"""HTML as tests see it: elements with their attributes and their text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"area", "br", "col", "embed", "hr", "img", "input", "link", "meta", "wbr"})
DRAWN = frozenset({"path", "circle", "rect"})
"""Of drawings; they close themselves."""


@dataclass(slots=True)
class Element:
    """One element."""

    tag: str
    attributes: dict[str, str]
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What a reader sees of it, with single spaces."""
        return " ".join("".join(self.parts).split())

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]


class HtmlPage(HTMLParser):
    """A page; reading it fails when its elements are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert self._open == [], f"not closed: {[element.tag for element in self._open]}"

    @property
    def text(self) -> str:
        """All that a reader sees."""
        [body] = self.all("body")
        return body.text

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """The elements of a tag that have all of the attributes; `class_` is one of the classes."""
        return [
            element for element in self.elements if element.tag == tag and _has(element, attributes)
        ]

    def one(self, tag: str, **attributes: str) -> Element:
        """The only such element."""
        found = self.all(tag, **attributes)
        assert len(found) == 1, f"{len(found)} of <{tag} {attributes}>"
        return found[0]

    def rows(self) -> list[str]:
        """The text of each row of the tables' bodies."""
        return [row.text for row in self.all("tr") if row.text]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID and tag not in DRAWN:
            self._open.append(element)
        if tag in {"td", "th", "li", "dd", "dt", "p", "h1", "h2", "option", "div", "label", "span"}:
            self.handle_data(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in DRAWN:
            return
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.parts.append(data)


def _has(element: Element, attributes: dict[str, str]) -> bool:
    for name, value in attributes.items():
        if name == "class_":
            if value not in element.attributes.get("class", "").split():
                return False
        elif element.attributes.get(name.replace("_", "-")) != value:
            return False
    return True
