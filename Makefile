# What a newcomer types; `make help` lists it. Needs git, make and Python 3.11 or newer.

.DEFAULT_GOAL := help
.PHONY: help demo test check types-of-pages generate bench

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Each pytest process computes on one thread (tests/conftest.py), so two of them fill two cores.
WORKERS ?= 2
TSC := tools/javascript/node_modules/.bin/tsc
# The tests that read the tree rather than run the program.
CHECKS := tests/repository/test_imports.py tests/repository/test_repository_rules.py tests/repository/test_docs.py

help: ## List these targets.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1  \2/p' $(firstword $(MAKEFILE_LIST)) | \
		while read -r make target text; do printf '  %s %-8s %s\n' "$$make" "$$target" "$$text"; done

demo: $(INSTALLED) ## Ask why the built-in network does not learn; writes an HTML report.
	$(BIN)/actlab advise

test: $(INSTALLED) ## Run the quick tests.
	@$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist worksteal -rs

check: $(INSTALLED) ## Check format, lint, types, import layers and the examples in the docs.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory types-of-pages
	$(BIN)/python -m pytest $(CHECKS)

# Where node is not installed, the types of the pages' JavaScript are not checked.
types-of-pages:
	@if command -v npm >/dev/null; then \
		[ -x $(TSC) ] || npm install --silent --no-fund --no-audit --prefix tools/javascript && $(TSC) -p tools/javascript; \
	else \
		echo "npm is not installed: the types of the pages' JavaScript are not checked." >&2; \
	fi

generate: $(INSTALLED) ## Write the data and the pages that follow from the code: properties, certificates, docs.
	@echo "The properties and moments of the catalog: a few minutes."
	$(BIN)/python -m actlab.theory.generate
	@echo "Its kernels' evaluation strategies and certificates: seconds for a new activation, minutes after a change of the kernels."
	$(BIN)/python -m actlab.kernels.generate
	$(BIN)/python -m actlab.measure.accuracy.generate
	$(BIN)/python -m actlab.lessons.generate
	$(BIN)/python docs/generate.py

bench: $(INSTALLED) ## Measure everything in bench/ and append to bench/results.
	@set -e; for script in $(filter-out bench/harness.py,$(wildcard bench/*.py)); do \
		echo "$$script"; $(BIN)/python $$script; done

# An interpreter that is too old, or a .venv whose interpreter has gone, is found here and not by pip.
$(INSTALLED): pyproject.toml constraints.txt
	@found=; fits='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(BIN)/python -c "$$fits" 2>/dev/null; then \
		for python in python3 python3.13 python3.12 python3.11; do \
			if command -v $$python >/dev/null && $$python -c "$$fits" 2>/dev/null; then found=$$python; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "make: no Python 3.11 or newer was found (tried python3, python3.13, python3.12, python3.11)." >&2; \
			echo "make: install one, with its venv module, and run make again." >&2; \
			exit 1; \
		fi; \
		$$found -m venv --clear $(VENV); \
	fi
	@echo "Installing into $(VENV): a few minutes the first time."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
