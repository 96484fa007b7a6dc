"""The tables of docs/keys.md are made of docs/pillar.schema.json: each key with its default and its meaning."""

import json
import re

from checkout import ROOT

PAGE = ROOT / "docs" / "keys.md"
SCHEMA = json.loads((ROOT / "docs" / "pillar.schema.json").read_text(encoding="utf-8"))
TABLE = re.compile(r"(<!-- (\w+): made of pillar\.schema\.json by make golden -->\n).*?(<!-- end -->\n)", re.DOTALL)
HEAD = "\n| key | default | meaning |\n|---|---|---|\n"


def resolved(value):
    """Return what a value refers to, with what stands beside the reference."""
    return {**SCHEMA["$defs"][value["$ref"].rpartition("/")[2]], **value} if "$ref" in value else value


def mappings():
    """Return the mappings whose keys are known, by the names of their tables, each with its path below spice."""
    spice = resolved(SCHEMA)
    found = {"spice": ("", spice)}
    for part, value in spice["properties"].items():
        named = resolved(value)["additionalProperties"]
        if named and "properties" not in resolved(named):
            continue
        found[part] = (f"{part}:NAME:", resolved(named)) if named else (f"{part}:", resolved(value))
    return found


def rows(path, mapping):
    """Return the rows of a table: the key with its path, what holds without it, and its meaning."""
    return [
        (f"`{path}{key}`", default(key, value, mapping), resolved(value)["description"])
        for key, value in mapping["properties"].items()
    ]


def default(key, value, mapping):
    """Return a value as YAML has it, or words."""
    if key in mapping.get("required", ()):
        return "required"
    return value.get("x-default") or "`{}`".format(json.dumps(value["default"]).replace('"', ""))


def made(text):
    """Return the page's text with its tables made anew."""
    known = mappings()

    def table(match):
        lines = (f"| {' | '.join(cells)} |\n" for cells in rows(*known[match[2]]))
        return f"{match[1]}{HEAD}{''.join(lines)}\n{match[3]}"

    return TABLE.sub(table, text)


def test_the_tables_say_what_the_schema_says(request):
    text = PAGE.read_text(encoding="utf-8")
    if request.config.getoption("--update-golden"):
        PAGE.write_text(made(text), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == made(text), "run make golden ARGS='-k keys_page'"


def test_every_mapping_has_its_table():
    """With all of its keys, which tests/unit/policy/test_schema.py holds against those of the parser."""
    shown = [match[2] for match in TABLE.finditer(PAGE.read_text(encoding="utf-8"))]
    assert shown == list(mappings())


def test_a_key_has_one_default_and_a_meaning_of_whole_sentences():
    for path, mapping in mappings().values():
        for key, value in mapping["properties"].items():
            said = [key in mapping.get("required", ()), "default" in value, "x-default" in value]
            assert said.count(True) == 1, f"{path}{key}"
        for key, _, meaning in rows(path, mapping):
            assert re.fullmatch(r"[A-Z`][^|\n]*\.", meaning), key
