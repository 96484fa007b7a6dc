"""The pure halves of tools/lint.py, tools/setup.py and of what a machine is made of."""

import pathlib
import subprocess
import sys

import lint
import pytest
import setup

from scene import pid1, requirements

MODULE = '''
def good():
    """Do it.

    CLI Example:
    """

def bad():
    """Do it."""

def worse():
    pass

def _helper():
    pass

def mod_watch():
    pass

class Private:
    def method(self):
        pass
'''


def test_docstrings_without_example_are_found():
    assert [str(finding) for finding in lint.docstring_findings("_modules/x.py", MODULE, lint.CLI_EXAMPLE)] == [
        "_modules/x.py:8: the docstring of bad() has no 'CLI Example:'",
        "_modules/x.py:11: worse() has no docstring",
    ]


FINE = {
    "salt/top.sls": "base:\n  '*': [fine]\n",
    "salt/fine/init.sls": "fine:\n  test.nop: []\n",
    "pillar/top.sls": "base:\n  '*': [data]\n",
    "pillar/data.sls": "a: 1\n",
}


@pytest.mark.parametrize(
    ("files", "findings"),
    [
        ({}, []),
        ({"salt/jinja.sls": "a:\n  test.nop: []\n{% if %}\n"}, ["salt/jinja.sls:3"]),
        ({"salt/odd.sls": "a: b\n"}, ["salt/odd.sls:1"]),
        ({"pillar/data.sls": "a: [1\n"}, ["pillar/data.sls:1", "pillar/top.sls:1"]),
    ],
)
def test_sls_that_do_not_render_are_found(tmp_path, files, findings):
    for name, text in {**FINE, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, lint.__file__, tmp_path], capture_output=True, text=True, check=False)
    assert sorted({":".join(line.split(":")[:2]) for line in done.stdout.splitlines()}) == findings
    assert (done.returncode, done.stderr) == (1 if findings else 0, "")


@pytest.mark.parametrize(
    ("path", "name"), [("spice/init.sls", "spice"), ("a/b/c.sls", "a.b.c"), ("init.sls", "init"), ("x.sls", "x")]
)
def test_names_of_sls(path, name):
    assert lint.sls_name(pathlib.PurePath(path)) == name


def test_only_absent_packages_are_named():
    listing = "sudo installed\nnftables config-files\nxvfb not-installed\n"
    assert setup.absent(["nftables", "sudo", "virt-viewer", "xvfb"], listing) == ["nftables", "virt-viewer", "xvfb"]
    assert set(setup.chosen_packages(["base"])) < set(setup.chosen_packages(["base", "test"]))


def test_requirement_files_that_include_others_come_last():
    assert [path.name for path in setup.stamps(["test"])] == ["base.txt", "test.txt"]
    assert [path.name for path in setup.stamps(["base"])] == ["base.txt"]
    assert [path.name for path in setup.stamps(["base", "test", "docs"])] == ["base.txt", "test.txt"]


@pytest.mark.parametrize(
    ("distribution", "version", "names"),
    [
        ("debian", "12", []),
        ("debian", "13", ["qemu-system-modules-spice", "sudo-rs"]),
        ("ubuntu", "24.04", ["qemu-system-modules-spice"]),
        ("ubuntu", "26.04", ["qemu-system-modules-spice", "sudo-rs"]),
        ("ubuntu", "22.04", []),
        ("debian", "forky/sid", []),
        ("fedora", "44", []),
    ],
)
def test_packages_of_a_release(distribution, version, names):
    assert setup.further(["base", "test"], {"ID": distribution, "VERSION_ID": version}) == names
    assert setup.further(["base"], {"ID": distribution, "VERSION_ID": version}) == names[:1]
    assert setup.further(["base", "test"], {}) == []


def test_every_program_that_is_needed_has_its_package_installed_by_setup():
    assert set(requirements.PACKAGES.values()) <= set(setup.chosen_packages(["base", "test"]))


MOUNTS = """\
22 28 0:20 / /proc rw,nosuid - proc proc rw
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 28 254:2 / /usr rw - ext4 /dev/vda2 rw
31 28 254:3 / /usrlocal rw - ext4 /dev/vda3 rw
32 28 254:4 / /var rw - xfs /dev/vda4 rw
33 32 254:5 / /var/two\\040words rw shared:7 master:3 - ext4 /dev/vda5 rw
34 32 0:50 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
35 32 0:51 / /var/tmp rw - tmpfs tmpfs rw
36 28 254:6 / /home rw - ext4 /dev/vda6 rw
37 28 254:1 /x /etc/hosts rw - ext4 /dev/vda1 rw
"""


def test_file_systems_that_make_up_the_host_are_found():
    assert pid1.layered(MOUNTS) == ["/etc/hosts", "/usr", "/var", "/var/two words"]
