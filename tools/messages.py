"""Collect the texts that users read, and make the catalogues of po/ ready for the code.

Each ``say("text")`` of the library is a text. This writes all of them into each po/LANGUAGE.po, keeps what is
translated and drops what nobody says any more; and it writes core/catalogues.py, since Salt sends Python files only.
Names texts without a translation, and exits with 1 if there is one.
"""

import ast
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "_utils" / "spicegrants"
PO = ROOT / "po"
CATALOGUES = LIBRARY / "core" / "catalogues.py"
HEAD = '''"""Texts by language and their English: made of po/ by ``make messages``."""

# fmt: off
CATALOGUES: dict[str, dict[str, str]] = {
'''
ENTRY = re.compile(r'^(msgid|msgstr) ((?:"(?:[^"\\]|\\.)*"\s*)+)', re.MULTILINE)
WIDTH = 100


def collected(library=LIBRARY):
    """Return the texts that the library says, each with the files that say it, in their order."""
    found = {}
    for path in sorted(library.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node.func) == "say"]
        for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
            files = found.setdefault(_text(call, tree, path), [])
            name = str(path.relative_to(library))
            files += [] if name in files else [name]
    return found


def _name(function):
    return getattr(function, "id", getattr(function, "attr", None))


def _text(call, tree, path):
    """Return the text of a call; only what stands there word for word can be collected."""
    for argument in call.args:
        if isinstance(argument, ast.Constant):
            return argument.value
        if ast.unparse(argument) == "__doc__.strip()":
            return ast.get_docstring(tree, clean=False).strip()
    raise SystemExit(f"{path}:{call.lineno}: say() needs its text word for word")


def read(text):
    """Return the translations in a po file's text, by their English; the head, of no text, is among them."""
    words = [(kind, ast.literal_eval(f"({value})")) for kind, value in ENTRY.findall(text)]
    return {one: other for (_, one), (_, other) in zip(words[::2], words[1::2])}


def written(texts, translations):
    """Return a po file's text."""
    blocks = [f'msgid ""\nmsgstr {_quoted(translations[""])}\n']
    for text, files in texts.items():
        comment = "".join(f"#: {name}\n" for name in files) + ("#, python-brace-format\n" if "{" in text else "")
        blocks.append(f"{comment}msgid {_quoted(text)}\nmsgstr {_quoted(translations.get(text, ''))}\n")
    return "\n".join(blocks)


def _quoted(text):
    """Quote a text for a po file, a line of it a line."""
    lines = [line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for line in text.splitlines(True)]
    return f'"{lines[0] if lines else ""}"' if len(lines) < 2 else "\n".join(f'"{line}"' for line in ("", *lines))


def module(catalogues):
    """Return the text of core/catalogues.py."""
    found = [HEAD]
    for language, texts in catalogues.items():
        found.append(f'    "{language}": {{\n')
        for text, other in texts.items():
            found.append(f"        {_literal(text)}:\n            {_literal(other)},\n")
        found.append("    },\n")
    return "".join([*found, "}\n"])


def _literal(text):
    """Spell a text as Python does, in pieces that fit a line."""
    pieces = re.findall(rf".{{1,{WIDTH - 1}}}(?:\s|$)|.{{1,{WIDTH}}}", text, re.DOTALL)
    return "\n            ".join(f'"{_escaped(piece)}"' for piece in pieces)


def _escaped(piece):
    return piece.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def main():
    """Write the files, name what is missing, return the exit code."""
    texts, catalogues, missing = collected(), {}, []
    for path in sorted(PO.glob("*.po")):
        translations = read(path.read_text(encoding="utf-8"))
        path.write_text(written(texts, translations), encoding="utf-8")
        catalogues[path.stem] = {text: translations[text] for text in texts if translations.get(text)}
        missing += [f"po/{path.name}: no translation of {text!r}" for text in texts if not translations.get(text)]
    CATALOGUES.write_text(module(catalogues), encoding="utf-8")
    print("\n".join(missing) if missing else f"{len(texts)} texts in {', '.join(('en', *catalogues))}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
