"""One fleet for all of these tests."""

import pytest

from fleet.fleet import Fleet
from scene import need

PROGRAMS = ("git", "ip", "nft", "openssl", "qemu-system-x86_64", "remote-viewer", "Xvfb", "import", "ss", "useradd")


@pytest.fixture(scope="session")
def fleet():
    """The fleet with everything synced; nothing was applied yet."""
    need(*PROGRAMS, "sudo", "visudo", "cvtsudoers")
    with Fleet() as made:
        made.sync()
        yield made


@pytest.fixture
def office(fleet):
    """The fleet with the example's grants in force on both clients."""
    fleet.as_first_pushed()
    return fleet


@pytest.fixture
def say(capsys):
    """Print what was measured, whatever pytest does with output."""

    def printed(text):
        with capsys.disabled():
            print(f"\n  {text}", flush=True)

    return printed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where a test failed, what Salt logged belongs to the report."""
    report = yield
    if report.failed and isinstance(made := item.funcargs.get("fleet"), Fleet):
        report.sections.append(("Salt's logs", made.logs()))
    return report
