"""What is said against a bad pillar, word for word: the table in bad_input.yaml."""

import pathlib

import pytest
import yaml

from spicegrants.core.errors import PolicyError
from spicegrants.policy import pillar
from unit.build import article, changed

TABLE = yaml.safe_load(pathlib.Path(__file__).with_name("bad_input.yaml").read_text(encoding="utf-8"))


def spelled(message):
    for word, text in TABLE["words"].items():
        message = message.replace(f"<{word}>", text)
    return message


def repr_kind(value):
    return type(value).__name__


def data_of(case):
    if "data" in case:
        return case["data"]
    places = {place.replace(":", "__"): ... if new == "<gone>" else new for place, new in case["set"].items()}
    return changed(article(), **places)


def findings(data):
    with pytest.raises(PolicyError) as caught:
        pillar.parse_policy(data)
    assert str(caught.value) == "\n".join(map(str, caught.value.findings))
    return [str(finding) for finding in caught.value.findings]


@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: case["name"])
def test_bad_input(case):
    lines = findings(data_of(case))
    assert lines == [spelled(message) for message in case["expect"]]
    assert all(message.isprintable() for message in lines)


@pytest.mark.parametrize(
    "case", [case for case in TABLE["cases"] if case["name"].startswith("password")], ids=lambda case: case["name"]
)
def test_no_message_gives_a_password_away(case):
    text = repr(data_of(case))
    assert "swordfish" in text or "424242" in text
    output = "\n".join(findings(data_of(case)))
    assert "swordfish" not in output and "424242" not in output


def test_the_article_itself_is_good():
    assert set(pillar.parse_policy(article()).grants) == {"myself-debianx", "mybro-leaptest"}


def test_findings_start_with_the_name_of_what_was_read():
    with pytest.raises(PolicyError) as caught:
        pillar.parse_policy({"servers": {}}, "policy")
    assert [finding.path for finding in caught.value.findings] == ["policy", "policy"]


def test_no_grants_is_a_policy():
    """It guards, and opens nothing."""
    policy = pillar.parse_policy(changed(article(), grants={}))
    assert policy.grants == {} and policy.guarded_ports() == ((20001, 20010),)


@pytest.mark.parametrize(
    "place",
    ["servers__mysrv__host", "servers__mysrv__ports", "vms__debianx__tls_port", "vms", "grants__mybro-leaptest"],
)
@pytest.mark.parametrize("value", [16**5000, -(16**5000)], ids=["large", "small"])
def test_a_number_of_any_size(place, value):
    """Python refuses to print it; YAML reads it all the same, written in hexadecimal digits."""
    lines = findings(changed(article(), **{place: value}))
    assert lines and all(len(message) < 300 for message in lines)


@pytest.mark.parametrize(
    "key", ["schedule", "valid_from", "valid_until", "on_end", "grace", "warn", "owner", "contact"]
)
@pytest.mark.parametrize("value", [16**5000, float("nan"), b"18:00", {1: {}}, {"a", "b"}, ()], ids=repr_kind)
def test_anything_at_all_where_the_times_of_a_grant_stand(key, value):
    lines = findings(changed(article(), time={"zone": "UTC"}, **{f"grants__myself-debianx__{key}": value}))
    assert lines[0].startswith(f"spice:grants:myself-debianx:{key}: ") and all(len(message) < 300 for message in lines)


@pytest.mark.parametrize("key", ["days", "hours", "zone", "except", "also"])
@pytest.mark.parametrize("value", [16**5000, float("nan"), b"18:00", {1: {}}, [{}], [[]], ()], ids=repr_kind)
def test_anything_at_all_in_a_schedule(key, value):
    evenings = {"days": "mon-fri", "hours": "18:00-22:00", "zone": "Europe/Berlin", key: value}
    lines = findings(changed(article(), schedules={"evenings": evenings}))
    assert lines[0].startswith(f"spice:schedules:evenings:{key}") and all(len(message) < 300 for message in lines)


def test_data_of_any_depth():
    value = []
    for _ in range(5000):
        value = [value]
    assert findings(changed(article(), servers=value))[0] == "spice:servers: must be a mapping of names, not a list"
