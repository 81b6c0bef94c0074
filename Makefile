# One environment for everything: made by the first target that needs it, made again when its description changes.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
MODEL ?= runs/demo/pulled
# Processes that share the tests: two more than two cores, since many tests wait for a server to start.
WORKERS ?= 4
OUTPUT ?= runs/gpu
# Without a cache of compiled modules, each process of the tests compiles all of them, with pytest's assertions, again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test mutate check docs bench gpu serve clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,dev,docs]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/python -m examples.demo

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses $(WORKERS)

# Mutation tests (docs/contributing/mutation.md): about an hour of two cores. A run that was stopped continues.
mutate: $(INSTALLED)
	$(BIN)/python -m tests.mutation

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(INSTALLED)
	$(BIN)/python -m docs site

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.stopping
	$(BIN)/python -m benchmarks.family
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.training

gpu: $(INSTALLED)
	$(BIN)/python -m benchmarks.gpu --output $(OUTPUT)

serve: $(INSTALLED)
	$(BIN)/zoo serve $(MODEL)

clean:
	rm -rf .venv runs site build dist
