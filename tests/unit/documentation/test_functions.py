"""Pages name the functions that there are, and the reference's table names all of them."""

import re

import pytest

from checkout import ROOT
from readme import chapter
from unit.documentation.test_site import BESIDE, CONF, PAGES

REFERENCE = {
    name: {known for path in paths for known in CONF.functions(path)} for name, paths in CONF.reference().items()
}
NAMES = {}
for qualified, found in REFERENCE.items():
    NAMES.setdefault(qualified.partition(".")[2], set()).update(found)
CALL = re.compile(r"\b(spice_(?:grant|firewall|host|routing|sudoers|viewer))\.([a-z_]+)")
# Files that are called like a module.
FILES = {"md", "py"}


@pytest.mark.parametrize("page", [*BESIDE, *(f"docs/{page}.md" for page in PAGES)])
def test_a_function_that_a_page_names_is_there(page):
    named = CALL.findall((ROOT / page).read_text(encoding="utf-8"))
    assert {(module, name) for module, name in named if name not in NAMES[module] | FILES} == set()


def tabled():
    """The functions in the first column of the reference's table, by module."""
    rows = re.findall(r"^\| (`spice_.*?) \|", chapter("Execution modules", "docs/reference/index.md"), re.MULTILINE)
    for row in rows:
        for span in re.findall(r"`([^`]+)`", row):
            prefix, dot, name = span.split()[0].rpartition(".")
            if dot:
                modules = re.sub(r"^spice_\{(.*)\}$", lambda match: match[1].replace(",", " "), prefix).split()
                modules = [f"spice_{module.removeprefix('spice_')}" for module in modules]
            yield from ((module, name) for module in modules)


def test_the_table_of_the_reference_has_every_execution_function():
    wanted = {
        (qualified.partition(".")[2], name)
        for qualified, names in REFERENCE.items()
        for name in names
        if qualified.startswith("modules.")
    }
    assert set(tabled()) == wanted
