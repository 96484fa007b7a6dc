#!/usr/bin/env python3
"""Run ``spice-grant-check`` from a checkout, with any Python that has Salt."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "_utils"))

try:
    from spicecheck.command import main
except ModuleNotFoundError as error:
    sys.exit(
        f"{sys.executable} has no module {error.name}: call this with the Python that has Salt, "
        "as /opt/saltstack/salt/bin/python3 tools/check.py"
    )

sys.exit(main())
