"""The functions that users call: their signatures survive Salt's tools, and their examples are right."""

import importlib.util
import inspect
import json
import pathlib
import re
import shlex
import sys
import textwrap

import pytest
import yaml
from salt.exceptions import CommandExecutionError, NotImplemented
from salt.utils.args import get_function_argspec

pytestmark = pytest.mark.salt

ROOT = pathlib.Path(__file__).parents[3]
FILES = sorted(path for kind in ("_modules", "_runners", "_states") for path in (ROOT / kind).glob("*.py"))
# Salt makes one module of all files that have the same name.
NAMES = {"spice_firewall", "spice_grant", "spice_host", "spice_routing", "spice_sudoers", "spice_viewer"}


def load(path):
    """Import a loader file as Salt does, by its path."""
    name = f"tested_{path.parent.name.strip('_')}_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def public(module):
    """Return what Salt's loader offers, by the name that it has there."""
    aliases = getattr(module, "__func_alias__", {})
    return {
        aliases.get(name, name): function
        for name, function in vars(module).items()
        if inspect.isfunction(function) and not name.startswith("_") and function.__module__ == module.__name__
    }


FUNCTIONS = [
    pytest.param(path, name, id=f"{path.parent.name}/{path.stem}.{name}")
    for path in FILES
    for name in public(load(path))
]


def exact(function):
    """Return the signature of a function as its users know it."""
    return getattr(function, "exact", inspect.signature(function))


def examples(function):
    """Return the command lines of a docstring's CLI examples."""
    found = []
    for block in re.findall(r"CLI Example:\n\n *\.\. code-block:: bash\n\n((?: +\S.*\n?)+)", inspect.getdoc(function)):
        found += [line.strip() for line in block.splitlines() if line.strip()]
    return found


def test_the_modules():
    assert {load(path).__virtualname__ for path in FILES} == NAMES
    for path in FILES:
        module = load(path)
        assert module.__virtual__() == module.__virtualname__
        assert path.stem.startswith(module.__virtualname__)
        assert ".. versionadded::" in module.__doc__


def test_what_is_offered():
    offered = {(path.parent.name, path.stem): set(public(load(path))) for path in FILES}
    assert offered["_modules", "spice_grant"] == {"plan", "apply", "absent", "grant", "remove", "revoke"}
    assert offered["_modules", "spice_grant_loans"] == {"lend", "end_loan", "lock", "unlock"}
    assert offered["_modules", "spice_grant_queries"] == {"list", "who", "timeline", "explain", "loans", "locks"}
    assert offered["_modules", "spice_grant_verify"] == {"verify"}
    ours = [names for (kind, stem), names in offered.items() if kind == "_modules" and stem.startswith("spice_grant")]
    together = set().union(*ours)
    assert len(together) == sum(map(len, ours)), "which is called would depend on the order in which Salt finds files"
    for layer in ("firewall", "routing", "sudoers", "viewer"):
        assert {"plan", "apply", "remove"} <= offered["_modules", f"spice_{layer}"]
    assert {"rules", "backend"} <= offered["_modules", "spice_firewall"]
    assert {"rules", "allowed"} <= offered["_modules", "spice_sudoers"]
    assert "status" in offered["_modules", "spice_viewer"]
    assert "status" in offered["_modules", "spice_grant_status"]
    asked = {"status", "who", "what", "loans", "locks", "sessions"}
    assert offered["_runners", "spice_grant_queries"] == asked
    assert offered["_runners", "spice_grant"] == {"plan", "follow", "lock", "unlock", "deliver", "lend", "end_loan"}
    assert offered["_runners", "spice_grant_review"] == {"review", "apply_review"}
    assert offered["_modules", "spice_grant_review"] == {"review"}
    assert offered["_modules", "spice_grant_repair"] == {"close", "repair"}
    assert offered["_modules", "spice_grant_denials"] == {"denials"}
    assert offered["_modules", "spice_grant_example"] == {"example"}
    of_host = {"plan", "apply", "remove", "consoles", "propose", "accept", "sessions", "status"}
    assert offered["_modules", "spice_host"] == of_host
    assert offered["_modules", "spice_host_verify"] == {"verify"}
    assert offered["_modules", "spice_host_loans"] == {"lend", "end_loan", "lock", "unlock", "loans", "locks"}
    assert offered["_states", "spice_host"] == {"present", "absent"}
    assert offered["_states", "spice_grant"] == {"present", "absent", "removed", "mod_watch"}


@pytest.mark.parametrize(("path", "name"), FUNCTIONS)
def test_signature(path, name):
    """Defaults are plain values, so that ``sys.argspec`` can be sent over the wire."""
    for parameter in inspect.signature(public(load(path))[name]).parameters.values():
        assert parameter.kind is not parameter.VAR_POSITIONAL
        if parameter.default is not parameter.empty:
            assert parameter.default is None or type(parameter.default) in (str, int, bool)
            json.dumps(parameter.default)
    assert inspect.getfullargspec(public(load(path))[name]).kwonlyargs == []


@pytest.mark.parametrize(("path", "name"), [entry for entry in FUNCTIONS if entry.values[0].parent.name != "_states"])
def test_a_misspelt_argument_is_answered_with_those_that_there_are(path, name):
    """In one line, which Salt prints as it is, and nothing is done. Salt hands over every keyword, and adds its own."""
    function = public(load(path))[name]
    assert get_function_argspec(function).keywords
    # Of each kind of module, the error that is printed without a traceback or the docstring.
    failure = {"_modules": CommandExecutionError, "_runners": NotImplemented}[path.parent.name]
    with pytest.raises(failure) as caught:
        function(xyzzy=1, __pub_jid="20261124160000000000")
    known = ", ".join(map(str, exact(function).parameters.values())).replace("'", "")
    assert str(caught.value) == f"no argument 'xyzzy' (arguments: {known or 'none'})"


@pytest.mark.parametrize(("path", "name"), FUNCTIONS)
def test_docstring(path, name):
    function = public(load(path))[name]
    text = inspect.getdoc(function)
    assert text and text.splitlines()[0].endswith((".", ":"))
    described = set(re.findall(r"^(\w+(?:, \w+)*)\n    \S", text, re.MULTILINE))
    described = {word for words in described for word in words.split(", ")}
    parameters = inspect.signature(function).parameters.values()
    declared = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}
    assert declared <= described, "each parameter has its paragraph"


@pytest.mark.parametrize(("path", "name"), [entry for entry in FUNCTIONS if entry.values[0].parent.name != "_states"])
def test_cli_example(path, name):
    """It names this function of this module, and its arguments fit."""
    function = public(load(path))[name]
    lines = examples(function)
    assert lines
    for line in lines:
        program, *rest = shlex.split(line)
        called, *arguments = rest if path.parent.name == "_runners" else rest[1:]
        assert program == {"_runners": "salt-run", "_modules": "salt"}[path.parent.name]
        assert called == f"{load(path).__virtualname__}.{name}"
        positional = [word for word in arguments if "=" not in word]
        named = dict(word.split("=", 1) for word in arguments if "=" in word)
        exact(function).bind(*positional, **named)


@pytest.mark.parametrize(("path", "name"), [entry for entry in FUNCTIONS if entry.values[0].parent.name == "_states"])
def test_state_example(path, name):
    """It is YAML, calls this state, and gives arguments that there are."""
    text = inspect.getdoc(public(load(path))[name])
    (block,) = re.findall(r"\.\. code-block:: yaml\n\n((?: +\S.*\n?|\n)+)", text)
    ((_, called),) = yaml.safe_load(textwrap.dedent(block)).items()
    state, arguments = next(iter(called.items())) if isinstance(called, dict) else (called, [])
    # What Salt calls by itself is called by naming another state.
    assert state == f"{load(path).__virtualname__}.{'present' if name == 'mod_watch' else name}"
    known = {*inspect.signature(public(load(path))[name]).parameters, "except", "watch"}
    assert {key for argument in arguments for key in argument} <= known


def test_the_states_own_example_is_a_good_pillar():
    text = load(ROOT / "_states" / "spice_grant.py").__doc__
    (block,) = re.findall(r"\.\. code-block:: yaml\n\n((?: +\S.*\n|\n)+)", text)
    (called,) = yaml.safe_load(textwrap.dedent(block)).values()
    arguments = {key: value for argument in called["spice_grant.present"] for key, value in argument.items()}
    assert set(arguments) == {"grants", "exclusive", "require"}


@pytest.mark.parametrize(
    ("options", "there"),
    [
        ({"file_client": "remote"}, True),
        ({"file_client": "remote", "local": True}, False),
        ({"file_client": "local"}, False),
        ({"file_client": "remote", "master_type": "disable"}, False),
        ({"file_client": "local", "use_master_when_local": True}, True),
    ],
)
def test_a_master_is_told_where_there_is_one(monkeypatch, options, there):
    """Otherwise Salt would try for a second, as fast as it can, to reach a daemon that does not run."""
    module = load(ROOT / "_modules" / "spice_grant_loans.py")
    monkeypatch.setattr(module, "__opts__", options, raising=False)
    monkeypatch.setattr(module, "__context__", {}, raising=False)
    monkeypatch.setattr(module, "__salt__", {"event.send": lambda tag, data: True}, raising=False)
    report = {"changes": {"firewall": ["closes"]}, "errors": [], "warnings": []}
    monkeypatch.setattr(module.enforcement, "enforce", lambda decided, test: report)
    monkeypatch.setattr(module.last_run, "spoken", lambda whole: whole)
    assert module.lock(all=True)["event"] is there


def test_the_fields_of_a_state_are_those_of_a_grant():
    """What pillar takes in a grant a state takes by the same name, so ``sys.state_argspec`` shows it.

    But for ``except``, which is a word of Python's own.
    """
    from spicegrants.core.errors import PolicyError
    from spicegrants.policy import pillar
    from unit.build import article, changed

    with pytest.raises(PolicyError) as caught:
        pillar.parse_policy(changed(article(), **{"grants__myself-debianx__xyzzy": 1}))
    known = str(caught.value).partition("known are ")[2].split(", ")
    present = inspect.signature(load(ROOT / "_states" / "spice_grant.py").present).parameters
    assert {*known} == {*present, "except"} - {"name", "grants", "exclusive", "kwargs"}
    json.dumps([parameter.default for parameter in present.values() if parameter.default is not parameter.empty])


def test_over_salt_ssh_a_state_says_why_it_cannot_run(monkeypatch):
    """Where a sync cannot help."""
    states = load(ROOT / "_states" / "spice_grant.py")
    options = {"root_dir": "/var/tmp/.root_0a1b2c_salt/running_data", "test": False}  # noqa: S108
    for name, value in (("__opts__", options), ("__salt__", {})):
        monkeypatch.setattr(states, name, value, raising=False)
    result = states.present("spice")
    assert result["result"] is False and "salt-ssh takes the modules" in result["comment"]
