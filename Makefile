# What a fresh machine needs: Python >= 3.11, git, make, a C compiler. Everything else goes into .venv.
# Another Python than `python3`: make PYTHON=python3.12 …

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := build/bootstrap/bin/uv
BIN := .venv/bin
READY := .venv/.complete
STUBS := build/proto
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check check-long check-format check-lint check-types check-imports check-proto \
	check-lock proto docs bench bench-mpc bench-tpch clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: $(READY) ## the main job with real processes on real data; options by ARGS="--report FILE"
	$(BIN)/usufruct demo $(ARGS)

test: $(READY) ## the default test suite
	$(BIN)/pytest -m "not long" $(ARGS)

check-long: $(READY) ## the tests that take minutes
	$(BIN)/pytest -m long $(ARGS)

check: check-format check-lint check-types check-imports check-proto check-lock ## all static checks

check-format: $(READY)
	$(BIN)/ruff format --check .

check-lint: $(READY)
	$(BIN)/ruff check .

check-types: $(READY)
	$(BIN)/mypy

check-imports: $(READY)
	$(BIN)/lint-imports --no-cache --no-logo

check-proto: $(READY) # the committed stubs are what the .proto files generate
	rm -rf $(STUBS)
	$(MAKE) --no-print-directory proto OUT=$(STUBS)
	diff --recursive --exclude=__init__.py --exclude=__pycache__ $(STUBS)/sandbox/rpc sandbox/rpc

check-lock: $(READY) $(UV)
	$(UV) lock --check

# The tree of proto/ is the tree of imports, so that no generated import has to be rewritten.
proto: OUT ?= .
proto: $(READY) ## write the gRPC stubs anew
	mkdir -p $(OUT)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto \
		--python_out=$(OUT) --mypy_out=$(OUT) proto/sandbox/rpc/v1/*.proto
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto \
		--grpc_python_out=$(OUT) --mypy_grpc_out=$(OUT) proto/sandbox/rpc/v1/*_service.proto

docs: $(READY) ## write the generated parts of docs/ anew
	$(BIN)/python -m tests.architecture.generated_docs

bench: $(READY) ## the main job beside plain DuckDB; options by ARGS="--json FILE"
	$(BIN)/python -m benchmarks.main_job $(ARGS)

bench-mpc: $(READY) ## the engine beside other engines; options by ARGS="--json FILE --peer spu --peer mpyc"
	$(BIN)/python -m benchmarks.mpc $(ARGS)

bench-tpch: $(READY) ## all of TPC-H over three providers; options by ARGS="--sf 0.01 --json FILE"
	$(BIN)/python -m benchmarks.tpch $(ARGS)

clean: ## remove the environment and everything that was built
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV):
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv build/bootstrap
	build/bootstrap/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# Compiled at installation: imports are several times faster from the first run on.
$(READY): pyproject.toml uv.lock | $(UV)
	UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never $(UV) sync --frozen --all-extras --all-groups \
		--python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	touch $@
