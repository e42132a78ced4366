# make run    install, and start the daemon on your recordings folder
# make demo   show the main job in a throw-away home
# make test   install what the tests need, and run them all
# make check  lint, format and types
# make bench  print what the daemon costs at rest
# make bench-events  print what the event bus does in a second, beside bare SQLite
# make bench-engine  print how fast the engine is beside the bare library
# make accuracy  print how right it is beside the bare library

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

.PHONY: run demo test check bench bench-engine bench-events accuracy clean

run: $(VENV)/.run
	$(VENV)/bin/panotti run

demo: $(VENV)/.run
	$(VENV)/bin/python scripts/demo.py

# What fails beside others is tried once more, alone: the tests run real daemons and desktops, and machines are busy.
test: $(VENV)/.test
	$(VENV)/bin/python -m pytest --numprocesses 4 --dist worksteal \
		|| $(VENV)/bin/python -m pytest --last-failed --last-failed-no-failures none

check: $(VENV)/.test
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	for plugin in plugins/*/plugin.py; do $(VENV)/bin/mypy $$plugin || exit 1; done

bench: $(VENV)/.test
	$(VENV)/bin/python -m benchmarks.idle

bench-engine: $(VENV)/.test
	$(VENV)/bin/python -m benchmarks.engine

bench-events: $(VENV)/.test
	$(VENV)/bin/python -m benchmarks.events

accuracy: $(VENV)/.test
	$(VENV)/bin/python -m benchmarks.accuracy

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Panotti needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[starter]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[starter,test]'
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) dist build
