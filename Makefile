# Everything needs only git, make, python3 and, for machines to play on, root.

PYTHON ?= /usr/bin/python3
export PYTHON
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
RUFF := $(PY) -m ruff
TESTS ?= tests
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full test-fast test-versions lint format docs messages picture bench bench-drift bench-fleet attacks release golden clean base

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22
	@echo "  ARGS=... is passed on to pytest, the demo and the benchmarks; TESTS=tests/unit runs a part of the tests."

setup: ## install what demo and tests need: Debian packages, .venv
	@$(PYTHON) tools/setup.py base test

base:
	@$(PYTHON) tools/setup.py base

demo: base ## show the extension at work on throw-away machines; leaves build/demo.html
	@$(PY) tools/demo.py $(ARGS)

SUITE = $(PY) tools/suite.py --tests $(TESTS)
test: setup ## run what a change can break (16 minutes); TESTS=tests/unit for a part of it
	$(SUITE) $(if $(ARGS),-- $(ARGS))

PART ?= 1/1
test-full: setup ## run everything, with all Salts; PART=2/4 for the second of four parts
	$(SUITE) --full --part $(PART) $(if $(ARGS),-- $(ARGS))

test-versions: setup ## run what a version of Salt can change, with the older Salts
	$(SUITE) --salts $(if $(ARGS),-- $(ARGS))

FAST := unit scene/test_tools.py article/test_article.py
test-fast: setup ## run what one runs on each save (under a minute)
	$(PY) tools/suite.py --tests $(FAST:%=tests/%) $(if $(ARGS),-- $(ARGS))

lint: setup docs ## check style, types, docstrings, that every SLS renders, and that docs/ makes a site
	$(RUFF) check .
	$(RUFF) format --check .
	$(PY) -m mypy
	$(PY) tools/lint.py

format: setup ## rewrite the code in the project's style
	$(RUFF) check --fix .
	$(RUFF) format .

docs: ## build the site of docs/ into build/docs; a warning is an error
	@$(PYTHON) tools/setup.py docs
	build/venv-docs/bin/python -m sphinx -W -E -q -d build/doctrees docs build/docs

messages: ## collect what users read into po/, and make of it what the code says in other languages
	@$(PYTHON) tools/messages.py

picture: ## draw docs/overview.svg anew, from what tools/picture.py describes
	@$(PYTHON) tools/picture.py

bench: setup ## measure
	@PYTHONPATH=_utils $(PY) tools/bench.py $(ARGS)
	@PYTHONPATH=_utils $(PY) tools/bench_viewer.py
	@PYTHONPATH=_utils $(PY) tools/bench_host.py

bench-fleet: setup ## measure a master: runs through it, and the rendering of pillar
	@PYTHONPATH=_utils $(PY) tools/bench_fleet.py $(ARGS)

bench-drift: setup ## measure how long drift lasts under the beacon, and what an idle minion costs with it
	@PYTHONPATH=_utils $(PY) tools/bench_drift.py $(ARGS)

attacks: setup ## play the attacks of tests/attacks; if all went as declared, write docs/attacks.md
	$(PYTEST) tests/attacks --full $(ARGS)
	PYTHONPATH=tests $(PY) tools/attack_table.py

release: setup ## build wheel and sdist of the version that is tagged into dist, and check them
	$(PY) -m nox --session release

golden: setup ## write the golden files of the tests anew; look at the difference before you commit it
	$(PYTEST) tests/unit --update-golden $(ARGS)

clean: ## remove what the other targets made in the checkout
	rm -rf .venv .nox .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -maxdepth 2 -name '*.egg-info' -prune -exec rm -rf {} +
