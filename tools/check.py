"""Run ``spice-grant-check`` from a checkout, with any Python that has Salt."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "_utils"))

from spicecheck.command import main

sys.exit(main())
