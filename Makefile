# Everything needs only git, make, python3 and, for machines to play on, root.

PYTHON ?= /usr/bin/python3
export PYTHON
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
RUFF := $(PY) -m ruff
TESTS ?= tests
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-here test-elsewhere test-daemons test-versions test-salt-3006 test-salt-3007 lint format bench bench-drift bench-fleet attacks golden clean base

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22
	@echo "  ARGS=... is passed on to pytest, the demo and the benchmarks; TESTS=tests/unit runs a part of the tests."

setup: ## install what demo and tests need: Debian packages, .venv
	@$(PYTHON) tools/setup.py base test

base:
	@$(PYTHON) tools/setup.py base

demo: base ## show the extension at work on two throw-away machines
	@$(PY) tools/demo.py $(ARGS)

# Two parts at a time, since most tests wait, the longest first; what a part says is shown when it is over.
HERE := unit functional coexistence scene
VERSIONS := test-salt-3006 test-salt-3007
test: setup ## run all tests; TESTS=tests/unit for a part
ifeq ($(TESTS),tests)
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-elsewhere test-here $(VERSIONS) test-daemons
else
	$(PYTEST) $(TESTS) $(ARGS)
endif

test-here: setup
	$(PYTEST) $(HERE:%=tests/%) $(ARGS)

test-elsewhere: setup
	$(PYTEST) tests $(HERE:%=--ignore=tests/%) --ignore=tests/daemons $(ARGS)

test-daemons: setup
	PYTHONPATH=tools $(PY) -m scene run -- $(PYTEST) tests/daemons -p no:cacheprovider $(ARGS)

test-versions: $(VERSIONS) ## run unit and functional tests with the older Salts; TESTS=tests/unit for a part

$(VERSIONS): test-%: setup
	$(PY) -m nox --sessions $* $(if $(filter-out tests,$(TESTS)),-- $(TESTS))

# The others take most of the time: real kernels and clocks, machines that boot, faults at every step, a master.
FAST := unit install scene article/test_article.py article/test_confined.py
test-fast: setup ## run the tests that together take less than five minutes
	$(PYTEST) $(FAST:%=tests/%) $(ARGS)

lint: setup ## check style, docstrings and that every SLS renders
	$(RUFF) check .
	$(RUFF) format --check .
	$(PY) tools/lint.py

format: setup ## rewrite the code in the project's style
	$(RUFF) check --fix .
	$(RUFF) format .

bench: setup ## measure
	@PYTHONPATH=_utils $(PY) tools/bench.py $(ARGS)
	@PYTHONPATH=_utils $(PY) tools/bench_viewer.py

bench-fleet: setup ## measure a master: runs through it, and the rendering of pillar
	@PYTHONPATH=_utils $(PY) tools/bench_fleet.py $(ARGS)

bench-drift: setup ## measure how long drift lasts under the beacon, and what an idle minion costs with it
	@PYTHONPATH=_utils $(PY) tools/bench_drift.py $(ARGS)

attacks: setup ## play the attacks of tests/attacks; if all went as declared, write docs/attacks.md
	$(PYTEST) tests/attacks $(ARGS)
	PYTHONPATH=tests $(PY) tools/attack_table.py

golden: setup ## write the golden files of the tests anew; look at the difference before you commit it
	$(PYTEST) tests/unit --update-golden $(ARGS)

clean: ## remove what the other targets made in the checkout
	rm -rf .venv .nox .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -maxdepth 2 -name '*.egg-info' -prune -exec rm -rf {} +
