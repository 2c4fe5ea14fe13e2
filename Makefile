# Each target is a line or two; `make help` prints them.
SHELL := /bin/bash
BIN := .venv/bin
READY := .venv/.ready

help:  ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY)  ## the main job on this machine: a good version to 100 %, a bad one back to 0
	@$(BIN)/lockgate rehearse --demo

test: $(READY)  ## what needs nothing but this machine, in a quarter of an hour on two cores
	@$(BIN)/python -m pipelines.rehearsal.prometheus
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not alone and not long"
	@$(BIN)/pytest -m "alone and not long"

test-long: $(READY)  ## what takes minutes: killed, cut off and lost at every boundary
	@$(BIN)/python -m pipelines.rehearsal.prometheus
	@$(BIN)/pytest -n 3 --dist load -m "long and not alone"
	@$(BIN)/pytest -m "long and alone"

lint: $(READY)  ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports --no-logo

bench: $(READY)  ## what it costs, beside what one would use instead
	@$(BIN)/python -m tests.bench

bench-load: $(READY)  ## what load generators say of a server whose latency is known
	@$(BIN)/python -m tests.bench.load

bench-judge: $(READY)  ## canary judges compared on seeded traffic: who is aborted, when, at what cost
	@$(BIN)/python -m tests.bench.judge

bench-evaluation: $(READY)  ## offline evaluation: ten million rows, and how often its intervals hold the truth
	@$(BIN)/python -m tests.bench.evaluation

lock:  ## resolve requirements.lock anew, and the image's from it (needs uv)
	@uv pip compile pyproject.toml --extra rehearsal --extra mlflow --extra parquet --extra signing --extra grpc --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock
	@cp requirements.lock requirements.image.lock
	@uv pip compile pyproject.toml --extra s3 --extra gcs --extra mlflow --extra parquet --extra signing --extra grpc --python-version 3.13 --python-platform linux \
		--generate-hashes --no-emit-index-url --no-header --no-annotate --quiet --output-file requirements.image.lock

$(READY): requirements.lock pyproject.toml
	@.ci/setup
	@touch $@

.PHONY: help demo test lint bench bench-evaluation bench-judge bench-load lock test-long
