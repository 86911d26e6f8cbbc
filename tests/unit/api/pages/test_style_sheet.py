from __future__ import annotations

import re

import pytest

from rqube_api.pages import rendering

STYLES = (rendering.STATIC / "rqube.css").read_text(encoding="utf-8")
COLOURS: dict[str, tuple[str, str]] = {
    name: (light, dark)
    for name, light, dark in re.findall(
        r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", STYLES
    )
}
TEXTS = ["text", "muted", "accent", "grey", "blue", "green", "red", "slate", "amber"]
GROUNDS = ["page", "card", "raised"]
LEAST_CONTRAST = 4.5
"""Of text, by the guidelines for accessible content (WCAG 2, level AA)."""
LEAST_CONTRAST_OF_EDGES = 3.0
"""Of the edges of fields, by the same."""


class TestColours:
    @pytest.mark.parametrize("ground", GROUNDS)
    @pytest.mark.parametrize("text", TEXTS)
    def test_of_text_can_be_read_on_every_ground(self, text: str, ground: str) -> None:
        """In the light and in the dark."""
        for text_colour, ground_colour in zip(COLOURS[text], COLOURS[ground], strict=True):
            assert contrast(text_colour, ground_colour) >= LEAST_CONTRAST

    def test_of_the_main_button_can_be_read(self) -> None:
        """Its ground is the accent."""
        for text, ground in zip(COLOURS["on-accent"], COLOURS["accent"], strict=True):
            assert contrast(text, ground) >= LEAST_CONTRAST

    def test_of_fields_edges_can_be_seen(self) -> None:
        """A field is known by its edge."""
        for edge, ground in zip(COLOURS["edge"], COLOURS["card"], strict=True):
            assert contrast(edge, ground) >= LEAST_CONTRAST_OF_EDGES

    def test_are_written_in_one_place(self) -> None:
        """Elsewhere they are named, so that both themes have them all."""
        rules = STYLES[STYLES.index("/* Ground */") :]

        assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", rules) == []


class TestStyleSheet:
    def test_is_small(self) -> None:
        """One file that a person can read."""
        assert len(STYLES.splitlines()) < 600

    def test_fetches_nothing(self) -> None:
        """The content security policy allows our own files only, and there are no pictures."""
        assert "url(" not in STYLES
        assert "@import" not in STYLES

    def test_knows_every_class_of_the_templates(self) -> None:
        """A class without a rule is a slip of the pen."""
        templates = [
            path.read_text(encoding="utf-8")
            for path in (rendering.PACKAGE / "templates").rglob("*.html")
        ]
        used = {
            name
            for text in templates
            for names in re.findall(r'class="([^"{]*)', text)
            for name in names.split()
        }

        assert used - set(re.findall(r"\.([a-z][a-z-]*)", STYLES)) == set()


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
