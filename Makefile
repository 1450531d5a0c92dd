# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test check types bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,dev]"
	$(BIN)/yanmo models fetch lid.176
	touch $(STAMP)

demo: install
	$(BIN)/yanmo demo

test: install
	$(BIN)/python -m pytest

check: install types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy sees the import layout (core/ is yanmo, curate/ is yanmo.curate) through a folder of links.
types: install
	rm -rf .types && mkdir -p .types/yanmo
	for file in core/*; do ln -s "$(CURDIR)/$$file" .types/yanmo/; done
	for stage in curate vocab train evals; do ln -s "$(CURDIR)/$$stage" .types/yanmo/$$stage; done
	ln -s "$(CURDIR)/fixtures/demo" .types/yanmo/sample
	MYPYPATH=.types $(BIN)/mypy -p yanmo

bench: install
	$(BIN)/python -m bench $(BENCH)

clean:
	rm -rf $(VENV) .types build *.egg-info demo-out .pytest_cache .mypy_cache .ruff_cache
