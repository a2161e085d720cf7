# Every target can be run at any time and again: what is done already is not done twice.
# `make` alone lists them. PYTHON=python3.12 takes another interpreter, ARGS="-k alerts" goes to pytest or the
# bench, VIDEO=film.mp4 to the demo, UPGRADE=1 to constraints.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# What `check` looks at.
TYPED := stream tests/support

VENV_STAMP := $(VENV)/.stamp-venv
INSTALL_STAMP := $(VENV)/.stamp-install
MODELS_STAMP := $(VENV)/.stamp-models

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test check bench constraints clean FORCE

help:
	@echo "Framewarden, from a checkout. It needs make and Python 3.11 or newer."
	@echo
	@echo "  make setup        make $(VENV), install into it by hash, fetch the default model"
	@echo "  make demo         score the test card, or VIDEO=film.mp4, and write a report to build/demo"
	@echo "  make test         run the tests; ARGS=\"-k alerts -n 4\" goes to pytest"
	@echo "  make check        formatting, lint, types, generated docs"
	@echo "  make bench        measure this machine; ARGS=... goes to the bench"
	@echo "  make constraints  pin the dependencies again after a change; UPGRADE=1 takes newer versions"
	@echo "  make clean        remove what was built, and the caches; keeps $(VENV)"
	@echo
	@echo "Next: make setup"

setup: $(MODELS_STAMP)
	@echo "Ready. Next: make demo, or $(BIN)/framewarden --help"

demo: $(MODELS_STAMP)
	$(BIN)/framewarden demo --out build/demo $(if $(VIDEO),"$(VIDEO)")
	@echo "The results are in build/demo. Next: make demo VIDEO=film.mp4 for one of your own"

test: $(MODELS_STAMP)
	$(BIN)/python -m pytest $(ARGS)
	@echo "Tests passed. Next: make check"

check: $(INSTALL_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict $(TYPED)
	$(BIN)/python -m stream.docs --check
	@echo "Checks passed. Next: make test"

bench: $(MODELS_STAMP)
	$(BIN)/python -m tests.bench $(ARGS)
	@echo "Measured. Next: keep the table together with the command that made it"

# What runs, what develops, and what builds the wheel (for the container image). Each file is resolved for all
# platforms and carries hashes. The pins in it are kept where they still fit.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make constraints" $(if $(UPGRADE),--upgrade)

constraints: $(INSTALL_STAMP)
	$(COMPILE) pyproject.toml --output-file constraints.txt
	$(COMPILE) pyproject.toml --extra dev --constraint constraints.txt --output-file constraints-dev.txt
	echo hatchling | $(COMPILE) - --constraint constraints-dev.txt --no-annotate --output-file constraints-build.txt
	@echo "Pinned. Next: git diff 'constraints*.txt', then make setup test"

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find stream tests models -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Clean. To start from nothing, also: rm -rf $(VENV). Next: make setup"

# The interpreter is tried each time, and the stamp touched only when the environment was made: one that is
# half made, or whose Python has gone since, is made again.
$(VENV_STAMP): FORCE
	@if [ -e $@ ] && $(BIN)/python -m pip --version >/dev/null 2>&1; then exit 0; fi; \
	command -v $(PYTHON) >/dev/null || { \
		echo "$(PYTHON) was not found. Install Python 3.11 or newer, or name yours: make setup PYTHON=python3.12" >&2; \
		exit 1; }; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), and 3.11 or newer is needed. Name another: make setup PYTHON=python3.12" >&2; \
		exit 1; }; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "$(PYTHON) cannot make virtual environments: ensurepip is missing." >&2; \
		echo "On Debian and Ubuntu: apt-get install python$$version-venv, then make setup again" >&2; \
		exit 1; }; \
	echo "Making $(VENV) with $$($(PYTHON) --version)"; \
	$(PYTHON) -m venv --clear $(VENV) && touch $@

# Nothing is resolved here: every download is named and hashed in constraints-dev.txt, build backend included.
$(INSTALL_STAMP): pyproject.toml constraints-dev.txt $(VENV_STAMP)
	@echo "Installing the dependencies: up to 400 MB to download, one to five minutes the first time"
	@$(PIP) install --require-hashes --requirement constraints-dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(MODELS_STAMP): $(INSTALL_STAMP) $(wildcard models/*/model.toml)
	$(BIN)/framewarden models pull
	@touch $@

FORCE:
