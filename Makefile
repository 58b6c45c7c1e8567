# What there is to do in a checkout. Everything happens in .venv, which is made when it is first needed.
#   make build            .venv/bin/shoald and .venv/bin/shoal, and what of the system they need
#   make test             all checks and all tests, and that they leave nothing behind (as root)
#   make lab [KEEP=1]     walk the lab on this machine (as root); KEEP=1 leaves it up
#   make soak [ROUNDS=n]  the long runs: crashes, restarts, dying managers, damages in pairs, 500 rounds of a service's
#                         life (as root)
#   make bench            compare with Debian's dockerd (as root)
#   make check            format, lint, types and import directions
#   make format, lint     ruff alone: rewrite, or say what is wrong
#   make clean            remove what was built
BIN := .venv/bin
PYTEST_ARGS ?=
ROUNDS ?= 500

.PHONY: build dev check test lint format lab soak bench clean

build:
	@tools/setup.sh build

dev:
	@tools/setup.sh dev

check: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tools/*.py
	$(BIN)/lint-imports

test: check
	@before=$$(mktemp) && $(BIN)/python tools/leftovers.py snapshot "$$before" || exit 1; \
	$(BIN)/python -m pytest -n auto --dist loadgroup $(PYTEST_ARGS); tests=$$?; \
	$(BIN)/python tools/leftovers.py compare "$$before"; left=$$?; \
	rm -f "$$before"; exit $$((tests | left))

lint: dev
	$(BIN)/ruff check .

format: dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lab: build
	$(BIN)/python tools/lab.py $(if $(KEEP),--keep)

soak: dev
	$(BIN)/python -m tests.faults.soak --rounds $(ROUNDS)

bench: dev
	@tools/setup.sh bench
	$(BIN)/python bench/run.py

clean:
	rm -rf .venv build dist src/*.egg-info src/shoal/container/containerd/pb src/shoal/store/etcd/pb .mypy_cache \
		.ruff_cache .pytest_cache .hypothesis .import_linter_cache
