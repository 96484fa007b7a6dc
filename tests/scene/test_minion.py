"""Salt in a machine: each call sees what is on disk now."""

import pytest

from scene import CommandTimeout, Machine, Minion, SaltError, need

need()

SLS = """
/srv/made:
  file.managed:
    - contents: {{ pillar["text"] | json }}
    - mode: '0640'
"""


@pytest.fixture(scope="module")
def minion():
    with Machine("salted") as machine:
        machine.write("/srv/salt/made.sls", SLS)
        machine.write("/srv/salt/top.sls", "base:\n  '*': [made]\n")
        with Minion(machine, {"text": "one"}, file_root="/srv/salt") as minion:
            yield minion


def test_functions_return_data(minion):
    assert minion.call("test.ping") is True
    assert minion.call("test.arg", 1, "two", key=["three"]) == {"args": [1, "two"], "kwargs": {"key": ["three"]}}
    assert minion.call("grains.get", "id") == minion.id == "salted"


def test_states_test_then_change_then_nothing(minion):
    minion.set_pillar({"text": "first"})
    (planned,) = minion.state("made", test=True).values()
    assert planned["result"] is None
    assert not minion.machine.path("/srv/made").exists()
    (done,) = minion.state("made").values()
    assert done["result"] is True
    assert minion.machine.read("/srv/made") == "first\n"
    assert minion.machine.mode("/srv/made") == 0o640
    (again,) = minion.state(None).values()
    assert (again["result"], again["changes"]) == (True, {})


@pytest.mark.parametrize("text", ["{{ no.jinja }} {% here %}", "grüße", "two\nlines: 'and' \"quotes\""])
def test_pillar_arrives_as_it_is(minion, text):
    minion.set_pillar({"text": text})
    assert minion.call("pillar.items", unmask=True)["text"] == text
    minion.state("made")
    assert minion.machine.read("/srv/made") == text + "\n"


def test_pillar_as_text_is_an_sls(minion):
    minion.set_pillar("text: {{ 6 * 7 }}\n")
    assert minion.call("pillar.items", unmask=True)["text"] == 42


def test_pillar_is_private(minion):
    assert minion.machine.mode(f"{minion.pillar_root}/spice.sls") == 0o600


def test_code_is_read_anew(minion):
    minion.machine.write("/srv/salt/_modules/fresh.py", "def value():\n    return 1\n")
    minion.call("saltutil.sync_modules")
    assert minion.call("fresh.value") == 1
    minion.machine.write("/srv/salt/_modules/fresh.py", "def value():\n    return 'another'\n")
    minion.call("saltutil.sync_modules")
    assert minion.call("fresh.value") == "another"


def test_errors_have_their_type(minion):
    with pytest.raises(SaltError) as caught:
        minion.call("test.exception", "on purpose")
    assert (caught.value.type_name, caught.value.message) == ("Exception", "on purpose")
    assert "Traceback" in caught.value.traceback
    with pytest.raises(SaltError, match=r"KeyError: 'no\.such'"):
        minion.call("no.such")
    with pytest.raises(SaltError, match="No matching sls"):
        minion.state("no.such")
    assert minion.call_raw("state.apply", "no.such")[1] == 1
    assert minion.call_raw("test.ping") == (True, 0)


def test_printing_does_not_disturb(minion):
    assert "hello" in minion.call("cmd.run", "echo hello; echo there >&2")
    minion.machine.write("/srv/salt/_modules/loud.py", "def shout():\n    print('loud and clear')\n    return 'done'\n")
    minion.call("saltutil.sync_modules")
    assert minion.call("loud.shout") == "done"
    assert "loud and clear" in minion.log()


def test_slow_call_is_ended_and_the_next_one_works(minion, monkeypatch):
    monkeypatch.setattr(minion, "timeout", 2)
    with pytest.raises(CommandTimeout, match=r"test\.sleep on salted"):
        minion.call("test.sleep", 31416)
    monkeypatch.undo()
    assert minion.call("test.ping") is True


def test_dying_call_is_an_error(minion):
    script = "import os\n\n\ndef now():\n    os._exit(3)\n"
    minion.machine.write("/srv/salt/_modules/die.py", script)
    minion.call("saltutil.sync_modules")
    with pytest.raises(SaltError, match="wait status"):
        minion.call("die.now")
    assert minion.call("test.ping") is True


def test_real_salt_call(minion):
    assert minion.salt_call("--out=json", "test.echo", "text").stdout.split() == ["{", '"local":', '"text"', "}"]
    assert minion.salt_call("no.such", check=False).returncode != 0
