# melstack: every command of the project. `make` alone prints this help.
.DEFAULT_GOAL := help
.NOTPARALLEL:

# What a user may set, as in `make submission DATA=mydata PROFILE=gpu`.
DATA ?= data/clinic
RUN ?= runs/$(notdir $(patsubst %/,%,$(DATA)))
PROFILE ?= laptop
RECIPE ?= default
BUNDLE ?= $(RUN)/bundle
OUT ?= $(RUN)/predicted
PORT ?= 8000
SEARCH ?= finetune
DEVICES ?= auto
FOLDS ?= 5
CLINIC_TRAIN ?= 1000
CLINIC_TEST ?= 400
CLINIC_SEED ?= 0

LOCK := requirements$(if $(GPU),-gpu).lock
FREE = $(if $(FREE_DISK),--disk $(FREE_DISK)) $(if $(FREE_MEMORY),--memory $(FREE_MEMORY))
# The stamp's name holds the digest of what is installed: a checkout that only changes times installs nothing.
STAMP := .venv/installed-$(basename $(LOCK))-$(firstword $(shell cat $(LOCK) pyproject.toml | cksum))
BIN := .venv/bin
# TensorFlow's start-up chatter hides our own lines; its errors still show.
export TF_CPP_MIN_LOG_LEVEL ?= 3
# Threads that spin while they wait make boosting many times slower wherever another program wants the same cores.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help setup clinic cases audit plan oof features stack submission bundle predict serve verify try-server explain report leaderboard spread eda contact-sheet augment-sheet lr-find tune views test test-all prove bench bench-bundle lint format lock audit-dependencies clean clean-runs clean-data

help: ## this list
	@echo "usage: make TARGET [NAME=value ...]"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
	@echo
	@echo "  DATA=folder        pictures and CSVs (default: the synthetic clinic, drawn into data/clinic)"
	@echo "  RUN=runs/name      where everything is kept (default: named after DATA)"
	@echo "  PROFILE=laptop     level-one models: laptop, desktop, external, gpu, tpu;   MODELS='a b': only these, or your own TOML files"
	@echo "  DEVICES=auto       cpu, gpu:0, mirrored (every GPU), workers (TF_CONFIG), tpu;   DETERMINISTIC=1: the same bytes each time"
	@echo "  FREE_MEMORY=16 FREE_GPU=24 FREE_DISK=500   GB of another machine that \`make plan\` plans for"
	@echo "  CLUSTER=tcp://...  a Dask scheduler whose workers train the folds and do level two's fits side by side"
	@echo "  MODEL=name         the model of augment-sheet, lr-find and tune;   SEARCH=finetune: the ranges that tune searches"
	@echo "  FOREIGN=folder     other networks' predictions: <network>/oof.csv and test.csv"
	@echo "  TRUST='a b'        admit these foreign networks although nothing confirms the order of their test rows"
	@echo "  RECIPE=default     level-two recipe: a name in level2_stack/configs, or a TOML file"
	@echo "  PREVALENCE=0.0176  share of malignant pictures where the probabilities will be used (default: as in training)"
	@echo "  PROOF=null         what \`make prove\` does: null, truth, leak, growth or memory;   PROOF_OPTIONS='--seeds 20'"
	@echo "  EXTRA='a b'        folders of external cases: trained on, never validated"
	@echo "  MAPPING=file.toml  where things are in DATA (default: DATA/cases.toml, else the contest's layout)"
	@echo "  FOLDS=5            number of folds;   OFFICIAL_FOLDS=1: by the official patient groups"
	@echo "  TABLE=folder       or s3://...: Parquet files of \`make spread\`: image_name, patient_id, fold, target (none: a test row), features"
	@echo "  RUNS='runs/a runs/b'  what \`make leaderboard\` compares (default: every run);   AGAINST=a/default   MLFLOW=runs/mlflow"
	@echo "  BUNDLE=folder      what \`make predict\` and \`make serve\` predict with (default: RUN/bundle);   OUT=folder: where its tables go"
	@echo "  PORT=8000          of \`make serve\`;   KEEP=folder: it keeps what it is given and says (default: nothing)"
	@echo "  GPU=1              install the CUDA libraries too"

setup: $(STAMP) ## make .venv and install the locked versions

$(STAMP):
	@for python in python3 python3.12 python3.13 python3.11 none; do \
	  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && break; done; \
	if [ $$python = none ]; then echo "error: melstack needs Python 3.11, 3.12 or 3.13 on the PATH" >&2; exit 2; fi; \
	echo "setup: installing the locked versions into .venv with $$($$python --version); one to three minutes, once"; \
	if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python $$python .venv && install="uv pip install --quiet --python $(BIN)/python"; \
	else \
	  $$python -m venv .venv && install="$(BIN)/python -m pip install --quiet --disable-pip-version-check"; \
	fi && \
	$$install --require-hashes -r $(LOCK) && PYTHONWARNINGS=ignore $$install --no-deps --no-build-isolation --editable .
	@rm -f .venv/installed-* && touch $@

clinic: $(STAMP) ## draw the synthetic clinic, the embedded demo, into data/clinic
	@$(BIN)/python -m melstack clinic data/clinic --train $(CLINIC_TRAIN) --test $(CLINIC_TEST) --seed $(CLINIC_SEED)

cases: $(STAMP) ## check the CSVs and pictures, freeze the folds
	@$(BIN)/python -m melstack cases --run $(RUN) --data $(DATA) --folds $(FOLDS) \
	  $(if $(filter data/clinic,$(DATA)),--draw $(CLINIC_TRAIN) $(CLINIC_TEST) $(CLINIC_SEED)) \
	  $(if $(MAPPING),--mapping $(MAPPING)) $(foreach folder,$(EXTRA),--extra $(folder)) $(if $(OFFICIAL_FOLDS),--official-folds)

audit: cases ## look for leaks; stop where nothing mends them: runs/<name>/leaks.json and leaks.png
	@$(BIN)/python -m melstack audit --run $(RUN)

oof: audit ## level one: out-of-fold and test predictions of every network
	@$(BIN)/python -m melstack oof --run $(RUN) --profile $(PROFILE) --devices $(DEVICES) \
	  $(if $(MODELS),--models '$(MODELS)') $(if $(DETERMINISTIC),--deterministic) $(if $(CLUSTER),--cluster $(CLUSTER))

plan: cases ## what level one and two will take, from a few measured steps: hours, disk, memory; refuses what cannot fit
	@$(BIN)/python -m melstack plan --run $(RUN) --profile $(PROFILE) --devices $(DEVICES) \
	  $(if $(MODELS),--models '$(MODELS)') $(if $(DETERMINISTIC),--deterministic) $(FREE) $(if $(FREE_GPU),--gpu $(FREE_GPU))
	@$(BIN)/python -m melstack plan-stack --run $(RUN) --recipe $(RECIPE) $(if $(FOREIGN),--foreign $(FOREIGN)) \
	  $(if $(PREVALENCE),--prevalence $(PREVALENCE)) $(FREE)

features: oof ## the feature blocks
	@$(BIN)/python -m melstack blocks --run $(RUN)

LEVEL2 = --run $(RUN) --recipe $(RECIPE) $(if $(FOREIGN),--foreign $(FOREIGN)) $(if $(TRUST),--trust '$(TRUST)') \
  $(if $(PREVALENCE),--prevalence $(PREVALENCE)) $(if $(CLUSTER),--cluster $(CLUSTER))

stack: oof ## level two: feature blocks, one probability per case, the leaderboard
	@$(BIN)/python -m melstack stack $(LEVEL2)

submission: oof ## the main job, from nothing to the end: stack, the CSV of test probabilities, and the bundle
	@$(BIN)/python -m melstack submission $(LEVEL2)
	@$(BIN)/python -m melstack bundle --run $(RUN) --recipe $(RECIPE) $(if $(CLUSTER),--cluster $(CLUSTER))

SLIMMED = $(RUN)/slim/$(notdir $(RECIPE:.toml=))_slim.toml

bundle: submission ## what `make submission` leaves in RUN/bundle;   SLIM=0.005: one with the fewest networks within that loss of AUC
	@$(if $(SLIM),$(BIN)/python -m melstack slim --run $(RUN) --recipe $(RECIPE) --loss $(SLIM) $(if $(PREVALENCE),--prevalence $(PREVALENCE)))
	@$(if $(SLIM),$(BIN)/python -m melstack bundle --run $(RUN) --recipe $(SLIMMED) --out $(RUN)/bundle_slim)

predict: $(STAMP) ## the cases of DATA through BUNDLE, without training: tables in OUT
	@$(BIN)/python -m melstack predict --bundle $(BUNDLE) --data $(DATA) --out $(OUT) \
	  $(if $(MAPPING),--mapping $(MAPPING)) $(if $(FOREIGN),--foreign $(FOREIGN))

serve: $(STAMP) ## BUNDLE's page for one patient, on this machine alone: drop pictures, see each lesion's probability
	@$(BIN)/python -m melstack serve --bundle $(BUNDLE) --port $(PORT) $(if $(KEEP),--keep $(KEEP))

try-server: $(STAMP) ## BUNDLE's page under load: latency, 200 requests at once, MINUTES=10 of clients, memory, wrong answers
	@$(BIN)/python -m benchmarks try-server --bundle $(BUNDLE) --data $(DATA) $(if $(MINUTES),--minutes $(MINUTES))

verify: $(STAMP) ## every file of RUN against its digest: as written, damaged, or stale; changes nothing
	@$(BIN)/python -m melstack verify --run $(RUN)

explain: submission ## what every column adds to every probability; heat maps, galleries and patient boards
	@$(BIN)/python -m melstack explain --run $(RUN) --recipe $(RECIPE) $(if $(CLUSTER),--cluster $(CLUSTER))
	@$(BIN)/python -m melstack galleries --run $(RUN) --recipe $(notdir $(RECIPE:.toml=))

report: submission ## runs/<name>/report.html and model_card.md, of what is there (`make explain` adds the explanations)
	@$(BIN)/python -m melstack card --run $(RUN) --recipe $(RECIPE)
	@$(BIN)/python -m melstack report --run $(RUN) --recipe $(RECIPE)

leaderboard: $(STAMP) ## compare finished runs, with paired tests: runs/leaderboard.csv
	@$(BIN)/python -m melstack leaderboard $(if $(RUNS),--runs '$(RUNS)') $(if $(AGAINST),--against '$(AGAINST)') $(if $(MLFLOW),--mlflow '$(MLFLOW)')

eda: cases ## the data's own page, before anything is trained: runs/<name>/eda.html
	@$(BIN)/python -m melstack eda --run $(RUN)

contact-sheet: cases ## pictures of DATA on one PNG, malignant ones in red
	@$(BIN)/python -m melstack contact-sheet $(DATA) $(RUN)/contact_sheet.png

augment-sheet: cases ## MODEL's augmentations on pictures of the run, on one PNG
	@$(BIN)/python -m melstack augment-sheet --run $(RUN) --profile $(PROFILE) --model '$(MODEL)'

lr-find: cases ## range test of MODEL's learning rate on the training rows of one fold, with its plot
	@$(BIN)/python -m melstack lr-find --run $(RUN) --profile $(PROFILE) --devices $(DEVICES) --model '$(MODEL)'

tune: cases ## search MODEL's settings within the ranges of SEARCH, on training folds alone
	@$(BIN)/python -m melstack tune --run $(RUN) --profile $(PROFILE) --devices $(DEVICES) --model '$(MODEL)' --search $(SEARCH)

views: cases ## what each test-time view of the trained models is worth
	@$(BIN)/python -m melstack views --run $(RUN) $(if $(MODELS),--models '$(MODELS)')

PYTEST = $(BIN)/python -m pytest -n auto --dist loadfile

test: $(STAMP) ## what a developer runs before each commit: all that needs no process or browser, and one tiny run;   TESTS=file: some of them
	@$(PYTEST) -m 'not full' $(TESTS)

test-all: $(STAMP) ## every test: clusters, browsers, fresh processes;   TESTS=file: some of them;   PIPELINE_KILLS=50, KILLS=10: kill as often
	@$(if $(KILLS),KILLS=$(KILLS)) $(if $(PIPELINE_KILLS),PIPELINE_KILLS=$(PIPELINE_KILLS)) $(PYTEST) $(TESTS)

spread: $(STAMP) ## RECIPE's boosters over a TABLE that no machine holds: CLUSTER's workers read it; scores in OUT/predictions
	@$(BIN)/python -m melstack spread --table $(TABLE) --recipe $(RECIPE) --cluster $(CLUSTER) --out $(OUT)

prove: $(STAMP) ## put level two's own numbers to the proof: PROOF=null, truth, leak, growth or memory
	@$(BIN)/python -m benchmarks.stacking $(PROOF) $(if $(filter truth,$(PROOF)),,--run $(RUN)) \
	  $(if $(filter memory,$(PROOF)),--data $(DATA) $(if $(FOREIGN),--foreign $(FOREIGN)) --recipe $(RECIPE)) $(PROOF_OPTIONS)

bench: $(STAMP) ## speed of this machine, as ratios within one run
	@$(BIN)/python -m benchmarks bench

bench-bundle: $(STAMP) ## the networks of BUNDLE on RUN's test pictures, through ONNX Runtime and through TensorFlow
	@$(BIN)/python -m benchmarks bench-bundle --run $(RUN) --bundle $(BUNDLE)

lint: $(STAMP) ## ruff and mypy strict
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(STAMP) ## lay the code out
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

COMPILE = uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11

lock: ## pin the newest versions that pyproject.toml allows, with the hash of every file (needs uv)
	@$(COMPILE) --upgrade --extra train --extra serve --extra dev pyproject.toml --output-file requirements.lock
	@$(COMPILE) --constraint requirements.lock --extra train --extra serve --extra dev --extra gpu pyproject.toml --output-file requirements-gpu.lock
	@$(COMPILE) --constraint requirements.lock --extra predict pyproject.toml --output-file requirements-predict.lock

audit-dependencies: $(STAMP) ## every locked version against the published advisories, where they can be reached
	@$(BIN)/python .ci/audit_dependencies.py requirements.lock requirements-gpu.lock requirements-predict.lock

clean: ## remove .venv and caches; runs/ and data/ stay
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-runs: ## remove every run, trained networks included
	@rm -rf runs

clean-data: ## remove the drawn clinic (data/clinic); your own data is never touched
	@rm -rf data/clinic
