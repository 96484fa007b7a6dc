"""The demo, as ``make demo`` plays it: what it says on the terminal, and the page that it leaves."""

import re
import subprocess
import sys

from checkout import ROOT

PATIENCE = 300


def test_the_demo_holds_and_leaves_a_page_with_all_of_it(tmp_path):
    command = [sys.executable, ROOT / "tools" / "demo.py", "--page", tmp_path / "demo.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0 and "NOT TRUE" not in done.stdout, done.stdout + done.stderr
    titles = re.findall(r"^\[ *[\d.]+ s\] \d+\. ([^.]+)\. \S.*\.$", done.stdout, re.MULTILINE)
    page = (tmp_path / "demo.html").read_text(encoding="utf-8")
    assert re.findall(r"<h3>\d+\. (.*?)</h3>", page.replace("&#x27;", "'")) == titles and len(titles) == 15
    assert "The proof holds: 6 of 6" in page and page.count("data:image/png") == 6
    assert page.count("data:image/svg") == 2, "the way of a call, and the week"
    assert {path.name for path in tmp_path.iterdir()} == {"demo.html"}
