"""Changes in words: by grant and layer, merged into one report."""

import copy

from spicegrants.core.changes import LAYERS, Change, as_dict, merge

FIREWALL = as_dict([Change("firewall", "opens a", ("g",)), Change("firewall", "guards p")])
SUDO = as_dict([Change("sudo", "lets b", ("g", "h")), Change("sudo", "creates f")])


def test_as_dict():
    assert as_dict([]) == {}
    assert FIREWALL == {"grants": {"g": {"firewall": ["opens a"]}}, "layers": {"firewall": ["guards p"]}}
    assert SUDO == {"grants": {"g": {"sudo": ["lets b"]}, "h": {"sudo": ["lets b"]}}, "layers": {"sudo": ["creates f"]}}


def test_as_dict_keeps_the_order_of_changes():
    found = as_dict([Change("viewer", what, ("g",)) for what in "cab"] + [Change("viewer", what) for what in "zyx"])
    assert found == {"grants": {"g": {"viewer": ["c", "a", "b"]}}, "layers": {"viewer": ["z", "y", "x"]}}


def test_merge():
    before = copy.deepcopy([FIREWALL, SUDO])
    assert merge([FIREWALL, SUDO]) == {
        "grants": {"g": {"firewall": ["opens a"], "sudo": ["lets b"]}, "h": {"sudo": ["lets b"]}},
        "layers": {"firewall": ["guards p"], "sudo": ["creates f"]},
    }
    assert before == [FIREWALL, SUDO], "merging changed what was merged"


def test_merge_of_nothing():
    assert merge([]) == {} and merge([{}, {}]) == {} and merge([FIREWALL, {}]) == FIREWALL


def test_merge_keeps_all_sentences_of_a_layer():
    one, two = as_dict([Change("viewer", "a")]), as_dict([Change("viewer", "b")])
    assert merge([one, two]) == {"layers": {"viewer": ["a", "b"]}}


def test_layers():
    assert LAYERS == ("policy", "firewall", "routing", "sudo", "viewer")
