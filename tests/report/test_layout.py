"""What a browser makes of a page on a phone: nothing reaches beyond the screen, and nothing is asked of the network."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from distsys.report.figures import beside
from distsys.report.page import Card, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MEASURE = """
<iframe id=page width={width} height=900 srcdoc="{page}"></iframe><pre id=found></pre><script>
document.getElementById("page").onload = event => {{
  const inside = event.target.contentDocument, over = [];
  for (const item of inside.querySelectorAll("body *")) {{
    const place = item.getBoundingClientRect();
    if (!item.closest("thead") && place.width > 0 && (place.right > {width} + 1 || place.left < -1))
      over.push(item.tagName + ": " + item.textContent.slice(0, 40));
  }}
  document.getElementById("found").textContent = JSON.stringify([inside.documentElement.scrollWidth, over]);
}};
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to measure a page with, and there is none")
def test_nothing_reaches_beyond_a_phone(tmp_path: Path) -> None:
    path = "/a/path/that/is/much/too/long/for/a/phone/" * 4
    page = Page("A title that is long enough for two lines", path, Card(True, "Healthy", "0.4449", "dB " * 30, [path]))
    page.heading("Beside other methods")
    names = [f"optimizer.learning_rate_of_part_{number}" for number in range(9)]
    page.table(["trial", *names], [[f"trial {row}", *(row + 1.0 / 3.0 for _ in names)] for row in range(3)])
    page.table(["cause", "fix"], [["a_cause_without_any_place_to_break_it_at_all" * 2, "a sentence " * 20]])
    page.figure("Figure", beside([("model", "model", 1.0), (path[:40], "peer", 2.0)], error=0.1, label="mae"))
    text = page.write(tmp_path / "report.html").read_text()
    width, over = measured(text, tmp_path, width=390)
    assert over == []
    assert width <= 390


def measured(text: str, folder: Path, *, width: int) -> tuple[int, list[str]]:
    wrapper = folder / "wrapper.html"
    wrapper.write_text(MEASURE.format(width=width, page=html.escape(text, quote=True)))
    assert CHROMIUM is not None
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
    done = subprocess.run(
        [CHROMIUM, *flags, "--virtual-time-budget=5000", "--dump-dom", wrapper.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    found = re.search(r"<pre id=\"found\">(.+?)</pre>", done.stdout)
    assert found is not None, done.stdout[-500:]
    size, over = json.loads(html.unescape(found[1]))
    return size, over
