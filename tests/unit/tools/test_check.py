"""spice-grant-check on real trees of pillar: what it says, and its exit codes."""

import functools
import json
import pathlib
import subprocess
import sys

import pytest
import yaml

import terminals
from spicecheck.command import main
from unit.build import article

pytestmark = pytest.mark.salt

ROOT = pathlib.Path(__file__).parents[3]
TOP = "base:\n  '*': [spice]\n"
OFFICE = yaml.safe_dump({"spice": article()})
BAD_VM = "spice: {grants: {myself-debianx: {vm: debain}}}\n"
TWO_TOPS = "base:\n  '*': [spice]\n  'bad-*': [bad]\n"


@pytest.fixture
def tree(tmp_path):
    """Write files below a directory of their own, and return it."""

    def write(files, name="pillar"):
        for path, content in {"top.sls": TOP, "spice.sls": OFFICE, **files}.items():
            if content is not None:
                (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name / path).write_text(content, encoding="utf-8")
        return str(tmp_path / name)

    return write


@pytest.fixture
def check(capsys, monkeypatch, tmp_path):
    """Run the command where paths are short: its exit code, and the lines that it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main([*words])
        return code, capsys.readouterr().out.splitlines()

    return run


def test_a_terminal_shows_how_many_minions_are_done(tree):
    """On standard error, where it is gone at the end; a pipe shows nothing."""
    command = [sys.executable, ROOT / "tools" / "check.py", "--pillar-root", tree({}), "desk-1", "desk-2"]
    expected = "desk-1: good, grants: 2\ndesk-2: good, grants: 2\n"
    drawn, output, code = terminals.run(functools.partial(subprocess.Popen, command))
    assert "minions: 0 of 2" in drawn and "minions: 1 of 2" in drawn and terminals.left(drawn) == [""]
    assert (output, code) == (expected, 0)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (expected, "")


def test_good_pillars_of_all_minions_are_good(tree, check):
    expected = ["desk-1: good, grants: 2", "desk-2: good, grants: 2"]
    assert check("--pillar-root", tree({}), "desk-1", "desk-2", "desk-1") == (0, expected)


def test_all_that_is_wrong_is_said_of_each_minion_with_file_path_and_reason(tree, check):
    bad = "spice: {grants: {myself-debianx: {vm: debain, usr: x}}, viewer: {group: root}}\n"
    root = tree({"top.sls": TWO_TOPS, "bad.sls": bad})
    code, lines = check("--pillar-root", root, "bad-1", "desk-1", "bad-2")
    findings = [
        "spice:viewer:group: must be a group of its own",
        "spice:grants:myself-debianx:usr: unknown key, did you mean 'user'?",
        "spice:grants:myself-debianx:vm: no vm 'debain', did you mean 'debianx'?",
    ]
    expected = [f"{name}: pillar/bad.sls: {text}" for name in ("bad-1", "bad-2") for text in findings]
    assert (code, lines) == (1, [*expected[:3], "desk-1: good, grants: 2", *expected[3:]])


def test_grants_of_several_files_and_roots_merge_by_name(tree, check):
    """As on a master: the first root that has a file gives it, and what is below one name comes from all files."""
    grant = "spice: {grants: {guest-debianx: {user: guest, vm: debianx}, mybro-leaptest: {nopasswd: false}}}\n"
    first = tree({"top.sls": "base:\n  '*': [spice, more.*]\n", "more/guest.sls": grant, "spice.sls": None})
    second = tree({"top.sls": "{}"}, "second")
    roots = ("--pillar-root", first, "--pillar-root", second)
    assert check(*roots, "desk-1") == (0, ["desk-1: good, grants: 3"])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("own: {user: anne, vm: nosuch}", "other: {user: anne, vm: debianx}", "first.sls: spice:grants:own:vm"),
        ("own: {user: anne, vm: debianx}", "own: {vm: nosuch}", "second.sls: spice:grants:own:vm"),
        ("own: {vm: nosuch}", "own: {user: anne}", "first.sls: spice:grants:own:vm"),
        ("own: {user: anne}", "own: {nopasswd: true}", "second.sls: spice:grants:own: needs either 'vm' or 'vm_group'"),
        ("own: {user: anne, vm: debianx, warn: [1h, 5]}", "own: {reason: x}", "first.sls: spice:grants:own:warn:1"),
        ("'a:b': {user: anne, vm: debianx}", "own: {user: anne, vm: debianx}", "first.sls: spice:grants:a:b: 'a:b'"),
    ],
)
def test_the_file_that_declares_what_is_wrong_is_named(tree, check, first, second, message):
    """Of files that come together in one grant it is the one that has the value; the first is included here."""
    files = {
        "spice.sls": f"include: [second]\n{OFFICE}",
        "first.sls": f"spice: {{grants: {{{first}}}}}\n",
        "second.sls": f"include: [first]\nspice: {{grants: {{{second}}}}}\n",
    }
    code, lines = check("--pillar-root", tree(files), "desk-1")
    assert code == 1 and len(lines) == 1 and lines[0].startswith(f"desk-1: pillar/{message}")


def test_templates_and_the_top_file_see_id_and_grains(tree, check):
    root = tree(
        {
            "top.sls": "base:\n  'G@role:desk and desk-*': [spice, mine]\n",
            "mine.sls": "spice: {grants: {own: {user: {{ grains.owner }}, vm: {{ grains.id }} }}}\n",
        }
    )
    for name, content in {
        "grains.json": '{"role": "desk", "owner": "anne"}',
        "grains": "role: desk\nowner: anne",
    }.items():
        pathlib.Path(name).write_text(content, encoding="utf-8")
        expected = ["desk-1: pillar/mine.sls: spice:grants:own:vm: no vm 'desk-1'", "lab-1: no spice"]
        assert check("--pillar-root", root, "--grains", name, "desk-1", "lab-1") == (1, expected)
    assert check("--pillar-root", root, "desk-1") == (0, ["desk-1: no spice"])


def test_a_file_that_does_not_render_is_named_and_nothing_of_it_is_shown(tree, check):
    """The excerpts of Salt's messages would be in the log of every check."""
    broken = "password: swordfish\nspice:\n{% if %}\n"
    root = tree({"top.sls": TWO_TOPS, "bad.sls": "include: [sub.broken]\n", "sub/broken.sls": broken})
    code, lines = check("--pillar-root", root, "bad-1", "desk-1")
    assert code == 1 and lines == [
        "bad-1: pillar/sub/broken.sls: Rendering SLS 'sub.broken' failed, render error: "
        "Jinja syntax error: Expected an expression, got 'end of statement block'; line 3",
        "desk-1: good, grants: 2",
    ]


def test_what_a_template_raises_is_printed_as_one_harmless_line(tree, check):
    root = tree({"spice.sls": "{{ raise('a\\x1b[2Jb\\nc\\u202ed') }}\n"})
    code, lines = check("--pillar-root", root, "desk-1")
    assert code == 1 and len(lines) == 1 and lines[0].isprintable() and "a\\x1b[2Jb c\\u202ed" in lines[0]


def test_a_name_that_is_twice_in_one_file_is_an_error(tree, check):
    code, lines = check("--pillar-root", tree({"spice.sls": f"{OFFICE}{OFFICE}"}), "desk-1")
    assert code == 1 and lines[0].startswith("desk-1: pillar/spice.sls: ")
    assert "found conflicting ID 'spice'" in lines[0] and len(lines) == 1


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ("base: {'*': [nosuch]}", "Specified SLS 'nosuch' in environment 'base' is not available on the salt master"),
        ("prod: {'*': [spice]}", "No matching pillar environment for environment 'prod' found"),
        ("base: [", "pillar/top.sls: Rendering Primary Top file failed"),
        ("{% if %}", "pillar/top.sls: Rendering Primary Top file failed"),
        ("base: spice", "pillar/top.sls: Error encountered while rendering pillar top file."),
        ("[base]", "Salt cannot compile it: AttributeError: "),
        ("5", "Salt cannot compile it: TypeError: "),
        ("base: {'*': [odd]}", "Salt cannot compile it: AttributeError: "),
    ],
)
def test_a_top_file_that_salt_cannot_follow_is_an_error(tree, check, top, message):
    code, lines = check("--pillar-root", tree({"top.sls": top, "odd.sls": "include: [{spice: null}]"}), "desk-1")
    assert code == 1 and len(lines) == 1 and lines[0].startswith(f"desk-1: {message}")


def test_a_minion_without_spice_is_said_and_wrong_only_if_it_is_required(tree, check):
    root = tree({"top.sls": "base:\n  'desk-*': [spice]\n"})
    assert check("--pillar-root", root, "desk-1", "lab-1") == (0, ["desk-1: good, grants: 2", "lab-1: no spice"])
    expected = ["desk-1: good, grants: 2", "lab-1: spice: is not declared"]
    assert check("--pillar-root", root, "--require", "desk-1", "lab-1") == (1, expected)


def test_spice_with_nothing_in_it_is_wrong(tree, check):
    code, lines = check("--pillar-root", tree({"spice.sls": "spice:\n"}), "desk-1")
    assert code == 1 and lines[0].startswith("desk-1: spice: the pillar of this minion declares nothing here")


def test_programs_get_data(tree, check):
    top = "base:\n  'desk-*': [spice]\n  'bad-*': [spice, bad, nosuch]\n"
    code, lines = check(
        "--pillar-root", tree({"top.sls": top, "bad.sls": BAD_VM}), "--json", "desk-1", "bad-1", "lab-1"
    )
    assert code == 1 and json.loads("\n".join(lines)) == {
        "errors": 2,
        "minions": {
            "desk-1": {"declares": True, "grants": 2, "errors": []},
            "bad-1": {
                "declares": True,
                "grants": None,
                "errors": [
                    {
                        "path": None,
                        "file": None,
                        "reason": "Specified SLS 'nosuch' in environment 'base' is not available on the salt master",
                    },
                    {
                        "path": "spice:grants:myself-debianx:vm",
                        "file": "pillar/bad.sls",
                        "reason": "no vm 'debain', did you mean 'debianx'?",
                    },
                ],
            },
            "lab-1": {"declares": False, "grants": None, "errors": []},
        },
    }


def git(*words):
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *identity, *words], check=True, capture_output=True)


def make_repository(directory, branch):
    git("-C", directory, "init", "--quiet", f"--initial-branch={branch}")
    git("-C", directory, "add", "pillar")
    git("-C", directory, "commit", "--quiet", "--message=one")


def test_a_branch_as_git_pillar_has_it_is_checked_in_its_own_environment(tree, check):
    """A commit with an error in a clone of the repository is found, before it is pushed."""
    origin = tree({"pillar/top.sls": "{{ saltenv }}:\n  '*': [spice]\n", "pillar/spice.sls": OFFICE}, "origin")
    make_repository(origin, "production")
    git("clone", "--quiet", origin, "clone")
    words = ("--pillar-root", "clone/pillar", "--pillar-env", "production", "desk-1")
    assert check(*words) == (0, ["desk-1: good, grants: 2"])
    pathlib.Path("clone/pillar/spice.sls").write_text(OFFICE.replace("vm: debianx", "vm: debain"), encoding="utf-8")
    git("-C", "clone", "commit", "--all", "--quiet", "--message=two")
    expected = "desk-1: clone/pillar/spice.sls: spice:grants:myself-debianx:vm: no vm 'debain', did you mean 'debianx'?"
    assert check(*words) == (1, [expected])


def test_what_a_master_takes_from_git_can_be_checked_and_its_own_files_stay_alone(tree, check, tmp_path):
    origin = tree({"pillar/top.sls": TOP, "pillar/spice.sls": OFFICE}, "origin")
    make_repository(origin, "main")
    remote = {f"main file://{origin}": [{"root": "pillar"}, {"env": "base"}]}
    options = {
        "root_dir": str(tmp_path / "master"),
        "git_pillar_provider": "gitpython",
        "ext_pillar": [{"git": [remote]}],
    }
    (tmp_path / "master").mkdir()
    (tmp_path / "salt").mkdir()
    (tmp_path / "salt" / "master").write_text(yaml.safe_dump(options), encoding="utf-8")
    assert check("--config", "salt", "desk-1") == (0, ["desk-1: good, grants: 2"])
    assert not [*(tmp_path / "master").iterdir()]


def test_a_top_file_of_another_environment_declares_nothing(tree, check):
    root = tree({"top.sls": "staging:\n  '*': [spice]\n"})
    words = ("--pillar-root", root, "--pillar-env", "production", "--require", "desk-1")
    assert check(*words) == (1, ["desk-1: spice: is not declared"])


@pytest.fixture
def config(tmp_path, tree):
    """A master's configuration directory, with a pillar root, a node group and another source of pillar."""
    root = tree({"top.sls": "base:\n  desks: [{match: nodegroup}, spice]\n"}, "served")
    more = {"spice": {"grants": {"guest-debianx": {"user": "guest", "vm": "debianx"}}}}
    (tmp_path / "more.json").write_text(json.dumps(more), encoding="utf-8")
    options = {
        "pillar_roots": {"base": [root]},
        "nodegroups": {"desks": "L@desk-1,desk-2"},
        "ext_pillar": [{"cmd_json": f"cat {tmp_path}/more.json"}],
    }
    (tmp_path / "salt").mkdir()
    (tmp_path / "salt" / "master").write_text(yaml.safe_dump(options), encoding="utf-8")
    return str(tmp_path / "salt")


def test_the_masters_options_count(config, check):
    """Its pillar roots, its node groups, and other sources of pillar."""
    missing = ["lab-1: spice: 'servers' is missing", "lab-1: spice: 'vms' is missing"]
    code, lines = check("--config", config, "desk-1", "lab-1")
    assert code == 1 and lines[:3] == ["desk-1: good, grants: 3", *missing]


def test_other_roots_in_place_of_the_masters_stand_alone(config, check, tree):
    """What is served now must not be mixed into what is to be."""
    root = tree({"top.sls": "base:\n  desks: [{match: nodegroup}, spice]\n"})
    words = ("--config", config, "--pillar-root", root, "desk-1", "lab-1")
    assert check(*words) == (0, ["desk-1: good, grants: 2", "lab-1: no spice"])


def test_minions_may_be_listed_in_a_file(tree, check, tmp_path):
    (tmp_path / "minions").write_text("desk-1\ndesk-2\n", encoding="utf-8")
    expected = [f"{name}: good, grants: 2" for name in ("lab-1", "desk-1", "desk-2")]
    assert check("--pillar-root", tree({}), "lab-1", "@minions") == (0, expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pillar-root", "pillar"], "the following arguments are required: FILE|MINION"),
        (["desk-1"], "there is no file desk-1; if it is a minion, where is the pillar?"),
        (["list", "--grains", "list"], "--grains is for minions: where is the pillar?"),
        (["list", "--pillar-env", "base"], "--pillar-env is for minions: where is the pillar?"),
        (["empty"], "Is a directory: 'empty'"),
        (["--pillar-root", "nowhere", "desk-1"], "nowhere is no directory"),
        (["--pillar-root", "empty", "desk-1"], "there is no top file in the pillar roots"),
        (["--config", "empty", "desk-1"], "empty/master cannot be read"),
        (["--config", "broken", "desk-1"], "broken/master is no configuration that Salt can read"),
        (["--pillar-root", "pillar", "--grains", "nowhere", "desk-1"], "No such file or directory: 'nowhere'"),
        (["--pillar-root", "pillar", "--grains", "broken/master", "desk-1"], "broken/master is neither JSON nor YAML"),
        (["--pillar-root", "pillar", "--grains", "list", "desk-1"], "list holds no mapping of grains"),
        (["--pillar-root", "pillar", "--nosuch", "desk-1"], "unrecognized arguments: --nosuch"),
        (["--pillar-root", "pillar", "@nowhere"], "No such file or directory: 'nowhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_carried_out_is_told_from_what_is_wrong(tree, tmp_path, monkeypatch, capsys, words, message):
    tree({})
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "master").write_text("a: [\n", encoding="utf-8")
    (tmp_path / "list").write_text("[1]", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(words)
    printed = capsys.readouterr()
    assert caught.value.code == 2 and message in printed.err and not printed.out


def test_it_runs_from_a_checkout_and_leaves_nothing(tree, tmp_path):
    """Nor is anything of Salt's own log among what is printed."""
    root, scratch = tree({"top.sls": TWO_TOPS, "bad.sls": "{% if %}"}), tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "check.py", "--pillar-root", root, "desk-1", "bad-1"],
        cwd="/",
        env={"TMPDIR": str(scratch), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert (done.returncode, len(lines), lines[0]) == (1, 2, "desk-1: good, grants: 2")
    assert lines[1].startswith(f"bad-1: {root[1:]}/bad.sls: ")
    assert not done.stderr and not [*scratch.iterdir()]


def test_the_documentation_shows_what_is_printed(check):
    shown = (ROOT / "docs" / "pillar.md").read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(shown) if text.startswith("$ spice-grant-check --"))
    _, *words = shown[line].removeprefix("$ ").split()
    words[words.index("--pillar-root") + 1] = str(ROOT / words[words.index("--pillar-root") + 1])
    assert check(*words) == (0, shown[line + 1 : shown.index("```", line)])


def test_the_documentation_shows_what_is_printed_of_a_file(check):
    shown = (ROOT / "docs" / "pillar.md").read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(shown) if text.startswith("$ spice-grant-check /srv/pillar"))
    where = pathlib.Path("srv/pillar/spice.sls")
    where.parent.mkdir(parents=True)
    text = (ROOT / "pillar" / "spice.sls").read_text(encoding="utf-8")
    where.write_text(text.replace("vm: debianx", "vm: debian").replace("nopasswd", "nopaswd"), encoding="utf-8")
    code, lines = check("srv/pillar/spice.sls")
    assert (code, [f"/{text}" for text in lines]) == (1, shown[line + 1 : shown.index("```", line)])


@pytest.mark.parametrize(
    ("text", "named"),
    [("spise: {grants: {}}\n", True), ("service: {sshd: running}\n", False), ("service: {vms: 3}\n", True)],
)
def test_a_misspelt_key_of_all_is_named_if_it_holds_what_ours_does(tree, check, text, named):
    code, lines = check("--pillar-root", tree({"spice.sls": text}), "desk-1")
    name = text.partition(":")[0]
    assert (code, lines) == (
        (1, [f"desk-1: {name}: unknown key, did you mean 'spice'?"]) if named else (0, ["desk-1: no spice"])
    )


# A file by itself


@pytest.fixture
def file(tmp_path):
    """Write a file, and return its name."""

    def write(content, name="own.sls"):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return name

    return write


def test_a_file_by_itself_needs_no_tree(file, check):
    """The same findings in the same order as with a tree, without the minion."""
    bad = OFFICE.replace("vm: debianx", "vm: debain")
    good = [file(OFFICE), file(f"#!yaml\n{OFFICE}", "two.sls"), file(json.dumps({"spice": article()}), "three.json")]
    assert check(*good) == (0, [f"{name}: good, grants: 2" for name in good])
    expected = "bad.sls: spice:grants:myself-debianx:vm: no vm 'debain', did you mean 'debianx'?"
    assert check(file(OFFICE), file(bad, "bad.sls")) == (1, ["own.sls: good, grants: 2", expected])
    code, lines = check("--json", "bad.sls")
    assert code == 1 and json.loads("\n".join(lines)) == {
        "errors": 1,
        "minions": {
            "bad.sls": {
                "declares": True,
                "grants": None,
                "errors": [
                    {
                        "path": "spice:grants:myself-debianx:vm",
                        "file": None,
                        "reason": "no vm 'debain', did you mean 'debianx'?",
                    }
                ],
            }
        },
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("service: {sshd: running}\n", "spice: is not declared"),
        ("spise: {grants: {}}\n", "spise: unknown key, did you mean 'spice'?"),
        ("", "it holds no mapping with 'spice'"),
        ("- spice\n", "it holds no mapping with 'spice'"),
        (f"{OFFICE}{OFFICE}", "it is no YAML: found conflicting ID 'spice' in line "),
        ("a: 1\npassword: 'swordfish\n", "it is no YAML: found "),
        ("password: swordfish\n\tx: [", "it is no YAML: found "),
        (b"spice: \xff", "it is no text in UTF-8"),
        ("spice: \x1b[2J", "it is no YAML: ReaderError"),
        ("[" * 5000, "it is no YAML: "),
    ],
)
def test_a_file_that_declares_nothing_is_wrong_and_nothing_of_it_is_shown(file, check, content, said):
    code, lines = check(file(content))
    assert code == 1 and len(lines) == 1 and lines[0].startswith(f"own.sls: {said}")
    assert "swordfish" not in lines[0] and lines[0].isprintable() and len(lines[0]) < 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("spice:\n  vms: {{ vms }}\n", "own.sls is a template: it has Jinja in line 2; check it for a minion"),
        ("{% set a = 1 %}\n", "own.sls is a template: it has Jinja in line 1; check it for a minion"),
        ("#!py\ndef run(): pass\n", "own.sls is for the renderer 'py'; check it for a minion"),
        ("include: [spice.office]\nspice: {}\n", "own.sls includes other files; check it for a minion"),
    ],
)
def test_what_takes_more_than_a_file_says_what_to_call(file, capsys, monkeypatch, tmp_path, content, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([file(content)])
    printed = capsys.readouterr()
    assert caught.value.code == 2 and not printed.out
    assert printed.err.splitlines()[-1] == (
        f"spice-grant-check: error: {said}: spice-grant-check --pillar-root DIR MINION"
    )


def test_with_a_python_that_has_no_salt_it_says_which_to_take():
    done = subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "tools" / "check.py", "desk-1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "call this with the Python that has Salt" in done.stderr
