# make run    install, and start the daemon on your recordings folder
# make demo   show the main job in a throw-away home
# make test   install what the tests need, and run them all
# make check  lint, format and types
# make bench  print how fast Panotti is beside the bare library, and what grows with the length of a recording
# make bench-engine, bench-daemon, bench-length  print a part of that
# make bench-events  print what the event bus does in a second, beside bare SQLite
# make bench-idle  print what Panotti costs at rest
# make accuracy  print how right it is beside the bare library
# make performance  measure everything anew, and put it into the docs

PYTHON ?= python3
ROUNDS ?= 5
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

.PHONY: run demo test check bench bench-engine bench-daemon bench-length bench-events bench-idle accuracy performance \
	clean

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
	$(VENV)/bin/python -m benchmarks --rounds $(ROUNDS)

bench-engine bench-daemon: bench-%: $(VENV)/.test
	$(VENV)/bin/python -m benchmarks.$* --rounds $(ROUNDS)

bench-length bench-events bench-idle: bench-%: $(VENV)/.test
	$(VENV)/bin/python -m benchmarks.$*

accuracy: $(VENV)/.test
	$(VENV)/bin/python -m benchmarks.accuracy

performance: $(VENV)/.test
	mkdir -p build && rm -f build/*.txt
	$(VENV)/bin/python -m benchmarks --rounds $(ROUNDS) > build/bench.txt
	$(VENV)/bin/python -m benchmarks.accuracy > build/accuracy.txt
	$(VENV)/bin/python -m benchmarks.events > build/events.txt
	$(VENV)/bin/python -m benchmarks.idle > build/idle.txt
	$(VENV)/bin/python -m benchmarks.noise > build/noise.txt
	$(VENV)/bin/python -m benchmarks.page $(addprefix build/,bench.txt accuracy.txt noise.txt events.txt idle.txt)

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
