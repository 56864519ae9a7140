"""The page in a real browser: nothing on the console, every figure visible, wide and narrow and on paper."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from recfleet.report import FIGURES
from tests.recfleet.test_report import POLICIES, comparison

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome in PATH"),
]

MEASURE = """
<script>
const box = e => { const r = e.getBoundingClientRect(); return [r.width, r.height, r.right]; };
const found = {
  figures: [...document.querySelectorAll("figure svg")].map(box),
  tables: [...document.querySelectorAll("table")].map(box),
  ledger: [box(document.querySelector(".ledger")), box(document.querySelector(".ledger").parentElement)],
  overflow: document.documentElement.scrollWidth - window.innerWidth,
  texts: document.querySelectorAll("figure svg text").length,
};
const out = document.createElement("pre"); out.id = "measured"; out.textContent = JSON.stringify(found);
document.body.append(out);
</script>
"""


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --enable-logging=stderr --v=0"
    command = [CHROMIUM, *flags.split(), f"--user-data-dir={folder / 'user'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return comparison((*POLICIES, "rolling_horizon"), 2, 240).report(folder / "report.html")


@pytest.mark.parametrize("width", [1280, 600])
def test_figures_are_visible_and_the_page_fits(page: Path, tmp_path: Path, width: int) -> None:
    probed = tmp_path / "probed.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    probed.write_text(text.replace("</body>", MEASURE + "</body>"))
    done = chromium(tmp_path, f"--window-size={width},900", "--dump-dom", probed.as_uri())
    match = re.search(r'<pre id="measured">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert match, done.stdout[-500:]
    found = json.loads(match[1])
    assert len(found["figures"]) == len(FIGURES)
    assert all(w > 0.6 * min(width, 900) and h > 80 for w, h, _ in found["figures"])
    assert found["texts"] > 100
    assert found["overflow"] <= 0
    (_, _, table_right), (_, _, box_right) = found["ledger"]
    assert table_right <= box_right + 1 or width < 900, "eight policies fit a page"


def test_no_complaint_on_the_console(page: Path, tmp_path: Path) -> None:
    done = chromium(tmp_path, "--dump-dom", page.as_uri())
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


def test_picture_has_ink(page: Path, tmp_path: Path) -> None:
    from matplotlib.image import imread

    chromium(tmp_path, "--window-size=1280,6000", f"--screenshot={tmp_path / 'page.png'}", page.as_uri())
    pixels = imread(tmp_path / "page.png")[..., :3]
    for top in range(0, 5000, 1000):
        band = pixels[top : top + 1000]
        assert 0.01 < float((band.min(axis=2) < 0.9).mean()) < 0.7


def test_prints(page: Path, tmp_path: Path) -> None:
    chromium(tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}", page.as_uri())
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
