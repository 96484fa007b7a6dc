"""docs/pillar.schema.json says what the parser says, as far as a schema can."""

import json
import pathlib
import re

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from referencing import Registry, Resource

from spicegrants.core.errors import PolicyError
from spicegrants.policy import pillar
from unit.build import DESK_KEY, EVENINGS, TICKETS, article, changed
from unit.policy import test_bad_input
from unit.strategies import junk, pillars, text
from unit.timestrategies import timed_pillars

ROOT = pathlib.Path(__file__).parents[3]
SCHEMA, FILE = (
    json.loads((ROOT / "docs" / name).read_text(encoding="utf-8"))
    for name in ("pillar.schema.json", "pillar-file.schema.json")
)
REGISTRY = Registry().with_resource("pillar.schema.json", Resource.from_contents(SCHEMA))
KINDS = {kind: found for kind, found in SCHEMA["$defs"].items() if found.get("type") == "object"}
# Where each kind of mapping stands in whole().
PLACES = {
    "parts": "",
    "server": "servers__mysrv",
    "vm": "vms__debianx",
    "grant": "grants__myself-debianx",
    "schedule": "schedules__evenings",
    "time": "time",
    "viewer": "viewer",
    "firewall": "firewall",
    "routing": "routing",
    "audit": "audit",
    "sudo": "sudo",
    "desk": "desks__desk-1",
}
# What a schema cannot see: names of other things, comparisons, and what only a calendar or this machine knows.
UNSEEN = {
    "unknown vm",
    "unknown vm that is like no other",
    "unknown vm in a list",
    "unknown group of vms",
    "group of unknown vms, which is said once",
    "grant that is called by another vm",
    "grant that is called by one vm, of several",
    "two grants of one name",
    "unknown server",
    "unknown schedule",
    "port below the guarded range",
    "port above the guarded range",
    "port in a gap of the guarded ranges",
    "port of two vms of one server",
    "port of three vms of one server",
    "port of two vms whose servers have one address",
    "port of two vms whose servers have one host",
    "port of two vms, the host of one server is the address of the other",
    "port that is a fraction",  # 20002.0, an integer to JSON
    "group that is the viewer's",
    "allowed where viewers are not confined",
    "password of a vm where viewers are not confined",
    "password in a file where viewers are not confined",
    "schedule without a zone anywhere",
    "date that is both in except and in also",
    "range of dates that overlaps one in except",
    "moments without an offset, and no zone anywhere",
    "valid_until before valid_from",
    "valid_until that is valid_from",
    "zone that is unknown is reported once",
    "horizon that is no number of days",
    "horizon of a day",
    "key of a host that is cut off",
    "domain and sharing of a vm whose server gives no tickets",
    "audit that is required of viewers that nobody asks",
    "domain of two vms",
    "domain of two vms whose servers have one minion",
    "password of a vm whose KVM host gives tickets",
    "tickets where viewers are not confined",
    "key of three desks",
}


def as_json(value):
    """What an editor sees: dates are text, and so are all keys."""
    if isinstance(value, dict):
        return {str(key): as_json(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(member) for member in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def errors(data, schema=SCHEMA):
    validator = jsonschema.Draft202012Validator(schema, registry=REGISTRY)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(as_json(data))]


def whole():
    """The article's pillar with tickets, and an empty mapping where it has none."""
    empty = {part: {} for part in ("time", "viewer", "firewall", "routing", "audit", "sudo")}
    desks = {"desk-1": {"addresses": "192.168.2.5", "key": DESK_KEY}}
    return changed(article(), **TICKETS, schedules={"evenings": EVENINGS}, desks=desks, **empty)


def messages(place, value):
    """What the parser says of a value at a place."""
    with pytest.raises(PolicyError) as caught:
        pillar.parse_policy(changed(whole(), **{place: value}) if place else value)
    return [str(finding) for finding in caught.value.findings]


def test_the_schemas_are_schemas():
    for schema in (SCHEMA, FILE):
        jsonschema.Draft202012Validator.check_schema(schema)


def test_whatever_is_named_has_a_description():
    for kind, found in SCHEMA["$defs"].items():
        assert found["description"].endswith("."), kind
        for key, value in found.get("properties", {}).items():
            assert "description" in value or value.get("$ref", "").rpartition("/")[2] in KINDS, f"{kind}:{key}"


def test_each_kind_of_mapping_is_held_against_the_parser():
    assert KINDS.keys() == PLACES.keys() and errors(whole()) == []


@pytest.mark.parametrize("kind", PLACES)
def test_the_schema_has_the_keys_that_the_parser_knows_and_no_others(kind):
    found = [re.search(r"must be a mapping with (.*), not ", message) for message in messages(PLACES[kind], "x")]
    known = [match[1].split(", ") for match in found if match]
    assert [set(keys) for keys in known] == [set(KINDS[kind]["properties"])]
    assert KINDS[kind]["additionalProperties"] is False


@pytest.mark.parametrize("kind", ["parts", "server", "vm", "grant", "schedule", "desk"])
def test_the_schema_requires_what_the_parser_requires(kind):
    found = [re.search(r"'(.*)' is missing", message) for message in messages(PLACES[kind], {"x": 1})]
    required = SCHEMA["required"] if kind == "parts" else KINDS[kind].get("required", [])
    assert [match[1] for match in found if match] == required


@pytest.mark.parametrize("kind", ["time", "viewer", "firewall", "routing", "audit", "sudo"])
def test_what_may_be_empty_requires_nothing(kind):
    assert "required" not in KINDS[kind] and pillar.parse_policy(whole())


@pytest.mark.parametrize(
    ("kind", "key"), [(kind, key) for kind in KINDS for key, v in KINDS[kind]["properties"].items() if "default" in v]
)
def test_a_default_is_what_the_parser_takes_where_nothing_is_said(kind, key):
    written = changed(whole(), **{f"{PLACES[kind]}__{key}": KINDS[kind]["properties"][key]["default"]})
    assert errors(written) == [] and pillar.parse_policy(written) == pillar.parse_policy(whole())


@pytest.mark.parametrize("path", sorted((ROOT / "pillar").rglob("*.sls")), ids=lambda path: path.name)
def test_each_file_of_the_example_pillars_is_a_part_of_spice(path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert errors(content, FILE) == []
    if "spice" in content and "include" not in content and not set(SCHEMA["required"]) - set(content["spice"]):
        assert errors(content["spice"]) == []


@pytest.mark.parametrize(
    "spice", [{"grant": {}}, {"vms": []}, {"vms": {"a": {"server": "b"}}}, {"time": {"zone": 1}}], ids=str
)
def test_a_file_with_a_wrong_part_is_wrong(spice):
    assert errors({"spice": spice}, FILE) and errors({"spice": {"vms": {}}, "other": 1}, FILE) == []


@given(st.one_of(pillars(), timed_pillars()))
def test_a_good_pillar_validates(data):
    assert errors(data) == []


@pytest.mark.parametrize("form", ["T18:00", " 18:00", "t18:00z", "T18:00:05.25+01:00", "T18:00,5+0100", "T18:00-01"])
def test_a_moment_may_be_written_in_each_form_that_the_parser_reads(form):
    until = {"grants__myself-debianx__valid_until": f"2026-12-24{form}"}
    written = changed(whole(), time={"zone": "Europe/Berlin"}, **until)
    assert errors(written) == [] and pillar.parse_policy(written)


def places_of(value):
    """All places of nested data, each as a list of keys."""
    found = [[]]
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        found += [[key, *rest] for rest in places_of(member)]
    return found


@given(st.data())
def test_what_the_parser_takes_validates_whatever_it_is(data):
    """A schema that is stricter than the parser would be in the way."""
    found = data.draw(timed_pillars())
    place = data.draw(st.sampled_from(places_of(found)[1:]))
    inner = found
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = data.draw(st.one_of(text, junk))
    try:
        pillar.parse_policy(found)
    except PolicyError:
        return
    assert errors(found) == []


@pytest.mark.parametrize("case", test_bad_input.TABLE["cases"], ids=lambda case: case["name"])
def test_a_bad_pillar_fails_unless_a_schema_cannot_see_why(case):
    assert bool(errors(test_bad_input.data_of(case))) is (case["name"] not in UNSEEN)


def test_what_is_listed_as_unseen_is_a_case():
    assert {case["name"] for case in test_bad_input.TABLE["cases"]} >= UNSEEN
