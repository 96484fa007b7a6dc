"""The beacon's settings: what is wrong is said, and the beacon then does not run."""

import pytest

from unit.loader.test_api import ROOT, load

pytestmark = pytest.mark.salt

BEACON = load(ROOT / "_beacons" / "spice_grant.py")


@pytest.mark.parametrize(
    "config",
    [
        [],
        [{"repair": False}],
        [{"repair": True}, {"look_every": 1}],
        [{"look_every": 2.5, "interval": 5}, {"_beacon_name": "spice_grant"}, {"disable_during_state_run": True}],
    ],
)
def test_good(config):
    assert BEACON.validate(config) == (True, "valid")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"repair": True}, "must be a list"),
        (None, "must be a list"),
        (["repair"], "must be a list"),
        ([{"repairs": True}], "no setting repairs"),
        ([{"repair": "yes"}], "repair: must be True or False"),
        ([{"repair": 1}], "repair: must be True or False"),
        ([{"look_every": "60"}], "look_every: must be a number"),
        ([{"look_every": True}], "look_every: must be a number"),
        ([{"look_every": 0}], "look_every: must be a number"),
        ([{"look_every": float("nan")}], "look_every: must be a number"),
    ],
)
def test_wrong(config, words):
    good, message = BEACON.validate(config)
    assert good is False and words in message and message.startswith("spice_grant: ")
