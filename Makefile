# Everything is set up by the target that needs it, into .venv and node_modules. Needs Python 3.11 or newer with venv, and make; no Node.
PYTHON ?= python3
PORT ?= 8000
ARGS ?=
V := .venv
PY := $(V)/bin/python
UV := $(V)/bin/uv
BUILD := $(PY) hatch_build.py

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export UV_PYTHON_DOWNLOADS := never
export PYTHONUTF8 := 1

# uv and Node read none of pip's settings: hand them those that pip has (none on an ordinary machine). `pip config get` misses values
# that the list shows, so the list is read.
PIPCONF = $(shell $(PYTHON) -m pip config list 2>/dev/null | sed -n "s/^\(:env:\|global\|install\)\.$(1)='\(.*\)'$$/\2/p" | head -1)
ifndef UV_DEFAULT_INDEX
  INDEX := $(call PIPCONF,index-url)
  ifneq ($(INDEX),)
    export UV_DEFAULT_INDEX := $(INDEX)
  endif
endif
ifndef SSL_CERT_FILE
  CERT := $(call PIPCONF,cert)
  ifneq ($(CERT),)
    export SSL_CERT_FILE := $(CERT)
  endif
endif
ifdef SSL_CERT_FILE
  ifndef NODE_EXTRA_CA_CERTS
    export NODE_EXTRA_CA_CERTS := $(SSL_CERT_FILE)
  endif
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-all faults check format screenshots bench setup dev built assets catalogues browser lock wheel clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: setup built ## a whole Kairan with sample data and an inbox (PORT=8000)
	@exec $(V)/bin/kairan demo --port $(PORT) $(ARGS)

test: dev built browser ## all tests but the slow ones (ARGS="-k word")
	@$(PY) -m compileall -q kairan mailer tracking unsubscribe worker.py
	$(PY) -m pytest -n 2 -m "not slow" $(ARGS)

test-all: dev built browser ## all tests
	$(PY) -m pytest -n 2 $(ARGS)

faults: dev built ## kills, drops, stops, locks, full disks on both databases: writes docs/reliability.md's table (a quarter of an hour)
	@nice -n 10 $(PY) -m tests.faults.matrix $(ARGS)

check: dev ## ruff, mypy, import layers
	$(V)/bin/ruff check .
	$(V)/bin/ruff format --check .
	$(V)/bin/mypy
	$(V)/bin/lint-imports --no-logo

format: dev ## writes what `check` asks of the layout
	$(V)/bin/ruff check --fix .
	$(V)/bin/ruff format .

screenshots: dev built browser ## writes the pictures of the README anew
	KAIRAN_WRITE_SCREENSHOTS=1 $(PY) -m pytest -q tests/browser_flows/test_screenshots.py

bench: setup built ## the benchmarks, each with its control beside it
	@exec $(V)/bin/kairan bench $(ARGS)

# ---- what the targets above stand on ----

$(V)/.uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Kairan needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(V) || { echo "The venv module is missing (Debian and Ubuntu: apt install python3-venv)"; exit 1; }
	$(PY) -m pip install -q --require-hashes --only-binary :all: -r $<
	@touch $@

# Installed on top, nothing removed: the .venv of a demo grows into that of the tests.
$(V)/.run: requirements/run.txt $(V)/.uv
	$(UV) pip install -q --require-hashes --python $(PY) -r $<
	@touch $@

# Compiled once: the tests start some hundred processes, each of which would read 2 s of source where Python is told to write no bytecode.
$(V)/.dev: requirements/dev.txt $(V)/.run
	$(UV) pip install -q --compile-bytecode --require-hashes --python $(PY) -r $<
	@touch $@

$(V)/.kairan: pyproject.toml hatch_build.py $(V)/.run
	KAIRAN_SKIP_ASSETS=1 $(UV) pip install -q --no-deps --no-build-isolation --python $(PY) --editable .
	@touch $@

setup: $(V)/.kairan ## .venv as `make demo` needs it
dev: $(V)/.dev $(V)/.kairan ## .venv as the tests need it

built: $(V)/.run
	@$(BUILD) assets catalogues

assets: $(V)/.run ## bundles frontend/src, where it changed
	@$(BUILD) assets

catalogues: $(V)/.run ## compiles the translations
	@$(BUILD) catalogues

browser: $(V)/.dev
	@$(BUILD) packages tests/browser

# ---- upkeep ----

COMPILE = $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
  --custom-compile-command "make lock" $(ARGS)
RUN_IN := --extra postgres --extra xlsx pyproject.toml requirements/build.in

lock: $(V)/.uv ## writes the lock files anew (ARGS="--upgrade")
	$(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(COMPILE) $(RUN_IN) -o requirements/run.txt
	$(COMPILE) --extra parquet $(RUN_IN) requirements/dev.in -c requirements/run.txt -o requirements/dev.txt
	$(MAKE) $(V)/.run
	$(BUILD) npm frontend install --package-lock-only
	$(BUILD) npm tests/browser install --package-lock-only

wheel: setup ## dist/kairan-*.whl, with assets, templates, migrations and catalogues
	$(UV) build -q --wheel --no-build-isolation --python $(PY)
	@ls dist/*.whl

clean: ## removes what was set up and built; data in var/ stays
	rm -rf $(V) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	rm -rf frontend/node_modules tests/browser/node_modules mailer/static/dist
	find kairan/locales -name '*.mo' -delete
	find . -name __pycache__ -prune -exec rm -rf {} +
