"""Who can look: with a key, in the dark, with other eyes, with a reader of screens, on a phone."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from drawn_fleet import Fleet
from looking import LAST, served
from playwright.sync_api import Page, expect
from test_fleet_page import IN_SIGHT

from serving.keys import make_key

Look = Callable[..., Page]
PAGES = ("fleet", "server?server=10.0.0.2", "server", "plan?replay=open", "quality", "pipeline")
# Machado, Oliveira and Fernandes 2009, severity 1; of linear RGB
EYES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    "none": np.eye(3).tolist(),
}
TOLD_APART = 20.0
"""Distance in CIELAB; 2.3 is just noticeable side by side."""


def lab(rgb: tuple[int, ...], eye: list[list[float]]) -> np.ndarray:
    part = np.array(rgb) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(eye) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    f = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 0.008856))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_people_who_see_colours_otherwise_tell_the_classes_apart(look: Look, scheme: str) -> None:
    page = look("pipeline", color_scheme=scheme)
    probe = """names => names.map(name => {
        const probe = document.body.appendChild(document.createElement("i"));
        probe.style.backgroundColor = `var(--${name})`;
        return getComputedStyle(probe).backgroundColor.match(/[0-9]+/g).map(Number);
    })"""
    colours = page.evaluate(probe, ["low", "medium", "high", "panel"])
    for name, eye in EYES.items():
        for one, other in combinations(colours, 2):
            assert np.linalg.norm(lab(one, eye) - lab(other, eye)) > TOLD_APART, (name, one, other)


@pytest.mark.parametrize("path", PAGES)
def test_a_reader_of_screens_finds_its_way(look: Look, path: str) -> None:
    for scheme in ("light", "dark"):
        page = look(path, color_scheme=scheme)
        page.wait_for_load_state("networkidle")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_the_theme_follows_the_system_or_the_button_and_stays(look: Look) -> None:
    page = look("quality", color_scheme="dark")

    def ground() -> int:
        colour = "getComputedStyle(document.documentElement).backgroundColor.match(/[0-9]+/g).map(Number)"
        return sum(page.evaluate(colour))

    assert ground() < 200
    page.get_by_role("button", name="Theme").click()
    assert ground() > 600
    page.reload()
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    assert ground() > 600
    page.get_by_role("button", name="Theme: light").click()
    assert ground() < 200


def test_on_a_phone_nothing_but_the_wide_tables_is_wider_than_it(look: Look) -> None:
    for path in PAGES:
        page = look(path, viewport={"width": 360, "height": 740})
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_data_need_a_key_that_is_asked_for_and_never_stands_in_the_address(look: Look, tmp_path: Path) -> None:
    Fleet.drawn(["a"], LAST).write(tmp_path, issues=1)
    key = make_key(tmp_path / "keys.json", "board", ["read"])
    with served(tmp_path, keys_file=str(tmp_path / "keys.json")) as url:
        page = look("fleet", url)
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        dialog = page.get_by_role("dialog")
        for tried, told in (("wrong", "this key is not known"), (key, None)):
            expect(dialog).to_be_visible()
            dialog.get_by_label("Key").fill(tried)
            dialog.get_by_role("button", name="Use it").click()
            if told:
                expect(dialog).to_contain_text(told)
        page.wait_for_selector(IN_SIGHT)
        expect(dialog).to_be_hidden()
        page.get_by_role("link", name="Quality").click()
        expect(page.get_by_role("heading", name="Quality")).to_be_visible()
        expect(dialog).to_be_hidden()
        assert key not in "".join([page.url, *addresses])
        assert page.evaluate("Object.values(localStorage)") == ["system"]
        page.get_by_role("button", name="Forget key").click()
        expect(page.get_by_role("dialog")).to_be_visible()
