# make search | test | test-all | check | clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install search test test-rest test-all check clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

search: install  ## the main job: phantom lung CT to a verified model
	$(BIN)/automed search --task lung-ct

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-rest: install  ## what `test` leaves out: slow, Ray and browser tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'slow and not ray and not browser'
	$(BIN)/python -m pytest -m 'ray or browser'

test-all: test test-rest

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build *.egg-info
