# Needs git, make and python3 (3.11 or later). Everything else is installed into .venv, from lock files with hashes.

PYTHON ?= python3
BIN := .venv/bin
# How many workers says tests/conftest.py. worksteal keeps neighbouring tests together, and evens out when one file is slow.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--exclude-newer "7 days" --custom-compile-command "make lock" --quiet $(if $(UPGRADE),--upgrade)
LOCK := $(COMPILE) pyproject.toml

.PHONY: help demo test check lint bench first-load screenshots docs lock clean product servers tests

help:
	@echo "make demo         a small town that trades: prints addresses and log-ins"
	@echo "make test         everything: lint, types, import contracts, all tests"
	@echo "make check        the quick part of it"
	@echo "make product      what is needed to run it, into .venv; make servers: with clients of PostgreSQL, TigerBeetle and SMPP, too"
	@echo "make bench        measure, beside raw engines and what others use; BENCH=--help says how much and what else"
	@echo "make first-load   measure wallet and till on slow networks, and write docs/reference/first-load.md"
	@echo "make screenshots  picture every page, in all sizes, languages and themes, into screenshots/"
	@echo "make docs         write the generated reference pages anew"
	@echo "make lock         bring the lock files up to pyproject.toml (UPGRADE=1 takes newer versions, a week old or older)"
	@echo "make clean        remove what these commands made, except data"

demo: product
	@exec $(BIN)/counterfoil demo

test: lint
	$(PYTEST)

check: lint
	$(PYTEST) -m "not slow" --hypothesis-profile quick

lint: tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: tests
	@exec $(BIN)/python -m bench $(BENCH)

first-load: tests
	$(BIN)/python -m bench.first_load
	$(BIN)/python -m bench.scan_to_paid

screenshots: tests
	$(BIN)/python -m scripts.screenshots

docs: tests
	$(BIN)/python -m tests.docs.generate

lock: tests
	$(BIN)/python -m pip install --quiet --only-binary :all: uv==0.13.9
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --group build --extra postgres --extra smpp --extra tigerbeetle --constraints requirements.lock --output-file requirements-servers.lock
	$(LOCK) --group build --group dev --constraints requirements-servers.lock --output-file requirements-dev.lock
	$(COMPILE) bench/peers-requirements.in --output-file bench/peers-requirements.txt

clean:
	rm -rf .venv .venv.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist tests/browser/node_modules screenshots
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

product servers tests:
	@$(PYTHON) scripts/install.py $@
