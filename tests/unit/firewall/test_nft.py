"""Tables as nft lists them: one that is asleep, whose JSON nft 1.0.6 may break, is known by nft's text."""

import subprocess

import pytest

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.firewall.live import egress, nft
from spicegrants.firewall.nft import guard_table


def answers(monkeypatch, flags):
    """Have nft print JSON that is none, and a table with these flags as text."""

    def attempt(command, **_):
        text = (
            f"table x y {{\n\tflags {flags}\n}}\n" if "--terse" in command else '{"nftables": [{"table": {"flags": \x01'
        )
        return subprocess.CompletedProcess(command, 0, text, "")

    monkeypatch.setattr(nft.run, "attempt", attempt)


@pytest.mark.parametrize(
    ("read", "name"),
    [(egress._table, "spice_grant"), (nft.Nftables().live_rules, guard_table.TABLE)],
    ids=["uplinks", "guard"],
)
def test_a_table_that_is_asleep_is_there_and_holds_nothing(monkeypatch, read, name):
    """Both of ours; what cannot be read for another reason stays unreadable."""
    answers(monkeypatch, "dormant")
    (found,) = read()
    assert (found["table"]["name"], found["table"]["flags"]) == (name, "dormant")
    answers(monkeypatch, "owner")
    with pytest.raises(LiveStateUnreadable):
        read()
