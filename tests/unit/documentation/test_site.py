"""The site of docs/: every page is in its contents, every function in the reference, and links lead somewhere."""

import importlib.util
import re

import lint
import pytest

from checkout import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md"))
BESIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
FILES = [path for directory in lint.DOCSTRINGS for path in sorted((ROOT / directory).glob("*.py"))]
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)#?([^)\s]*)\)")


def configured():
    """Return docs/conf.py, which needs Sphinx only where Sphinx calls it."""
    spec = importlib.util.spec_from_file_location("configured", DOCS / "conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONF = configured()


def contents(page):
    """The pages that a page's tables of contents list, by their paths below docs/."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    found = []
    for block in re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        names = [line for line in block.splitlines() if line and not line.startswith(":")]
        found += [(DOCS / page).parent.joinpath(name).relative_to(DOCS).as_posix() for name in names]
    return found


def anchors(path):
    """The anchors that the forge gives to the headings of a file."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_table_of_contents_once():
    listed = [name for page in PAGES for name in contents(page)]
    assert sorted(["index", *listed]) == PAGES


def test_the_reference_describes_every_file_that_salt_loads():
    described = [path for paths in CONF.reference().values() for path in paths]
    assert sorted(described) == sorted(FILES)
    assert {path.parent.name for path in FILES} == {path.parent.name for path in ROOT.glob("_*/spice_*.py")}


def test_the_reference_has_a_page_for_every_module():
    found = {}
    for page in PAGES:
        text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
        for name in re.findall(r"^\.\. automodule:: (\S+)\n   :members:$", text, re.MULTILINE):
            found.setdefault(name, []).append(page)
    assert set(found) == set(CONF.reference())
    assert [pages for pages in found.values() if len(pages) > 1] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_public_function_is_described(path):
    """And shows how to call it, which ``make lint`` checks."""
    text = path.read_text(encoding="utf-8")
    wanted = {node.name for node in lint.public_functions(text)}
    assert wanted and wanted <= set(CONF.functions(path).values())


def test_a_function_has_the_name_that_salt_gives_it():
    names = CONF.functions(ROOT / "_modules" / "spice_grant_queries.py")
    assert names["list"] == "list_" and "list_" not in names


def test_a_module_of_several_files_has_the_functions_of_all():
    for name, paths in CONF.reference().items():
        assert name.endswith(f".{paths[0].stem}"), "the docstring is that of the first"
        names = [known for path in paths for known in CONF.functions(path)]
        assert names and len(names) == len(set(names))


@pytest.mark.parametrize("page", [*BESIDE, *(f"docs/{page}.md" for page in PAGES)])
def test_links_lead_to_what_is_there(page):
    """Files, and headings of them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target, anchor in LINK.findall(text):
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("time.md#clocks", "time.md#clocks"),
        ("../README.md#undo", "index.md#undo"),
        ("../etc/git/pre-receive", f"{CONF.FORGE}/blob/main/etc/git/pre-receive"),
        ("../tests/attacks", f"{CONF.FORGE}/tree/main/tests/attacks"),
    ],
)
def test_links_out_of_the_docs_lead_to_the_forge(link, shown):
    assert CONF.linked(f"as [it]({link}) says", "docs/users.md") == f"as [it]({shown}) says"


def test_links_of_the_readme_are_right_where_its_text_stands_on_the_site():
    assert CONF.linked("[a](docs/reference/index.md)", "README.md") == "[a](reference/index.md)"
    assert CONF.linked("[a](index.md) [b](../fleet.md)", "docs/reference/index.md") == "[a](index.md) [b](../fleet.md)"
