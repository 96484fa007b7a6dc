"""docs/attacks.md says of every attack what its file declares, and each declares all that it must."""

import inspect
import re

import pytest

import attack_table
from attacks.catalogue import HERE, OUTCOMES, attacks
from attacks.clients import FORMS

LAYERS = ("firewall", "routing", "sudo", "viewer")


@pytest.fixture(params=attacks(), ids=lambda attack: f"{attack.group}-{attack.name}")
def attack(request):
    """Each of them."""
    return request.param


def test_the_table_is_what_the_files_declare():
    assert attack_table.TABLE.read_text(encoding="utf-8") == attack_table.render(attacks()), "run make attacks"


def test_no_file_is_left_out():
    files = {path.relative_to(HERE) for path in HERE.rglob("*.py") if path.parent != HERE}
    listed = set(re.findall(r"\(\.\./tests/attacks/(\S+)\)", attack_table.TABLE.read_text(encoding="utf-8")))
    assert listed == {str(path) for path in files if path.name != "__init__.py"}


def test_an_attack_declares_all_that_it_must(attack):
    assert re.fullmatch(r"[A-Z][^|]*\.", attack.text), "one sentence"
    assert attack.module.RECIPE in OUTCOMES
    assert set(attack.forms) <= set(FORMS)
    assert attack.stopped_by.partition(":")[0] in LAYERS and "|" not in attack.stopped_by
    assert list(inspect.signature(attack.module.attack).parameters) == ["client"]
