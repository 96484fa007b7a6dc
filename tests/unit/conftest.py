"""What the unit tests share."""

import locale
import os
import shutil

import hypothesis
import pytest

from spicegrants.firewall.nft import guard_table
from unit.build import Kernel, desired
from unit.desk import Desk


def pytest_configure(config):
    """A busy machine is no error; no run depends on the one before; and all but full ones draw the same examples."""
    hypothesis.settings.register_profile(
        "unit",
        deadline=None,
        derandomize=not config.getoption("full"),
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        database=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate, hypothesis.Phase.shrink),
        max_examples=60,
    )
    hypothesis.settings.load_profile("unit")


@pytest.fixture(scope="session")
def sudo_tools():
    """Sudo's own parsers; a test without them is skipped, with CI=true it fails."""
    lacking = [name for name in ("visudo", "cvtsudoers") if shutil.which(name, path="/usr/sbin:/usr/bin") is None]
    if lacking:
        text = f"needs {', '.join(lacking)} (package sudo)"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(text, pytrace=False)
        pytest.skip(text)


@pytest.fixture
def kernel():
    """A kernel that holds what the article wants."""
    live = Kernel()
    live.carry_out(guard_table.plan_guard_table(desired(), None))
    return live


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A user's desk for the launcher."""
    before = locale.setlocale(locale.LC_ALL)
    yield Desk(tmp_path, monkeypatch)
    # The launcher, a process of its own otherwise, sets it before a dialog; other tests read what programs write.
    locale.setlocale(locale.LC_ALL, before)
