# Everything a person types. `make run` and `make test` work on a fresh Debian or Ubuntu with
# python3 (3.11+), python3-venv and make.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help run test check format bench lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/.runtime: requirements/runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Textgate needs Python 3.11 or newer; try: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/.dev: $(BIN)/.runtime requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@touch $@

run: $(BIN)/.runtime ## start the server on http://127.0.0.1:8080, data in ./textgate-data
	@$(BIN)/textgate serve

test: $(BIN)/.dev ## every test
	$(BIN)/python -m pytest

check: $(BIN)/.dev ## format, lint, types, layers, tests: before each commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

format: $(BIN)/.dev ## rewrite the files to the one style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BIN)/.dev ## what a message costs, beside Kannel, a script, and phones; see docs/benchmarks.md
	$(BIN)/python -m bench

lock: $(BIN)/.dev ## write the pins anew from requirements/*.in
	$(BIN)/pip-compile --quiet --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --allow-unsafe --upgrade requirements/runtime.in -o requirements/runtime.txt
	$(BIN)/pip-compile --quiet --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --allow-unsafe --upgrade requirements/dev.in -o requirements/dev.txt

clean: ## remove what the commands above made, but never your data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
