"""How Sphinx makes the site of these pages (``make docs``), of Markdown and of the loader files' docstrings.

Only ``setup`` needs Sphinx, so tests read the rest of this file without it.
"""

import ast
import importlib.util
import os
import pathlib
import re
import sys
import types

DOCS = pathlib.Path(__file__).resolve().parent
ROOT = DOCS.parent
FORGE = "https://github.com/salt-extensions/saltext-spice-grant"
BRANCH = "main"

project = "saltext-spice-grant"
author = "the maintainers of saltext-spice-grant"
language = "en"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = []
html_theme = "furo"
html_title = project
html_theme_options = {"source_repository": FORGE, "source_branch": BRANCH, "source_directory": "docs/"}
# Headings have the anchors that the forge gives them.
myst_heading_anchors = 4
# Blocks of plain text are messages and pictures in characters, not Python.
highlight_language = "text"
add_module_names = False
# A function that a docstring refers to must be there.
nitpicky = True
autodoc_member_order = "alphabetical"
# What is copied from a block of commands is the commands: without the prompt, and without what they print.
copybutton_prompt_text = r"^[#$] "
copybutton_prompt_is_regexp = True

# Directories that Salt's loader reads; on the site a module is called KIND.VIRTUALNAME, as modules.spice_grant.
KINDS = {"modules": "_modules", "states": "_states", "runners": "_runners", "beacons": "_beacons", "output": "_output"}


def reference():
    """Return what the reference describes: for each module its files, the one of its own name first."""
    found = {}
    for kind, directory in KINDS.items():
        for path in sorted((ROOT / directory).glob("*.py"), key=lambda path: path.stem):
            (name,) = re.findall(r'^__virtualname__ = "(\w+)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
            found.setdefault(f"{kind}.{name}", []).append(path)
    return found


def functions(path):
    """Return a file's public functions, by the names that Salt gives them: the name in the file."""
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    aliases = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__func_alias__":
            aliases = ast.literal_eval(node.value)
    names = [node.name for node in nodes if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    return {aliases.get(name, name): name for name in names}


def _exact(function):
    """Have a function show the arguments that it takes; to Salt ours take any, so as to say what is wrong with them."""
    if hasattr(function, "exact"):
        function.__signature__ = function.exact
    return function


def combined(name, paths):
    """Make one module of all files that have one name, as Salt does."""
    module = types.ModuleType(name)
    for path in paths:
        spec = importlib.util.spec_from_file_location(f"{name}.{path.stem}", path)
        part = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(part)
        module.__doc__ = module.__doc__ or part.__doc__
        vars(module).update({known: _exact(getattr(part, own)) for known, own in functions(path).items()})
    module.__all__ = sorted(known for path in paths for known in functions(path))
    return module


def linked(text, page):
    """Rewrite links to files of the repository that are no pages: on the site they lead to the forge.

    page
        The page's path below the repository's root; its links start there.
    """

    here = ROOT / os.path.dirname(page)

    def rewritten(match):
        path, anchor = match.groups(default="")
        target = pathlib.Path(os.path.normpath(here / path))
        if not target.exists():
            return match[0]  # the build warns of it
        # The README's text is the first page of the site.
        target = DOCS / "index.md" if target == ROOT / "README.md" else target
        if target.is_relative_to(DOCS):
            start = here if here.is_relative_to(DOCS) else DOCS
            return f"]({os.path.relpath(target, start)}{anchor})"
        shown = "tree" if target.is_dir() else "blob"
        return f"]({FORGE}/{shown}/{BRANCH}/{target.relative_to(ROOT)}{anchor})"

    return re.sub(r"\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)", rewritten, text)


def read_page(app, page, source):
    """Have the first page begin with the README, and links lead where they do on the forge."""
    text = linked(source[0], f"docs/{page}.md")
    if page == "index":
        text = linked((ROOT / "README.md").read_text(encoding="utf-8"), "README.md") + text.partition("-->\n")[2]
    source[0] = text


def setup(app):
    """Load what autodoc is to describe, without Salt, and follow the pages as they are read."""
    from sphinx.ext.autodoc.mock import mock

    sys.path.insert(0, str(ROOT / "_utils"))
    with mock(["cryptography", "salt"]):
        for name, paths in reference().items():
            sys.modules[name] = combined(name, paths)
    app.connect("source-read", read_page)
    return {"parallel_read_safe": True}
