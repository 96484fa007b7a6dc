"""Every attack is real, fails against ours, and does against the recipe what its module says.

docs/attacks.md is written from what is checked here: ``make attacks``.
"""

import pytest

from attacks.catalogue import attacks
from attacks.clients import FORMS
from scene.requirements import need

CASES = [
    pytest.param(form, attack, id=f"{form}-{attack.name}", marks=[] if form == "nftables" else [pytest.mark.full])
    for form in FORMS
    for attack in attacks()
    if form in attack.forms
]


@pytest.mark.parametrize(("form", "attack"), CASES)
def test_attack(clients, form, attack):
    """Bare it succeeds; with the recipe as it is declared; with ours the attacker has nothing."""
    need(*attack.needs)
    with clients.borrowed(form) as client:
        gained = attack.play(client)
    assert bool(gained) is attack.forms[form], gained or "the attacker has nothing"
