# melstack: every command of the project. `make` alone prints this help; the commands are those of `melstack --help`.
.DEFAULT_GOAL := help
.NOTPARALLEL:

# The variables that somebody may set; all but the last two lines are options of `melstack`: --free-disk is FREE_DISK.
SETTINGS := DATA RUN MAPPING EXTRA FOLDS FOLDS_BY FOLDS_BY_TIME OFFICIAL_FOLDS FOLD_SEED CLINIC_TRAIN CLINIC_TEST CLINIC_SEED PROFILE MODELS \
  DEVICES DETERMINISTIC CLUSTER RECIPE FOREIGN TRUST PREVALENCE ACCEPT_FINDING RESET SLIM BUNDLE OUT THREADS HOST PORT ADDRESS TOKEN_FILE CERTIFICATE KEY_FILE LOG KEEP \
  REQUIRE_SIGNATURE KEY UPDATE AUC_WIDTH LIMITS PATIENTS RUNS ROOT AGAINST MLFLOW FREE_DISK FREE_MEMORY FREE_GPU MODEL FOLD SEARCH TABLE PARTS LAYOUT CROPS \
  TRAIN TEST SEED MINUTES CLIENTS ATTACKS PICTURES FILES SECONDS ONLY FAILURES VERBOSE CORES MEMORY QUEUE LAST
OF_MAKE := GPU TESTS KILLS PIPELINE_KILLS PROOF PROOF_OPTIONS TF_CPP_MIN_LOG_LEVEL OMP_WAIT_POLICY SHELL MAKEFLAGS

# Everything that was typed is checked before anything is installed or run.
quote = '$(subst ','\'',$(1))'
define newline


endef
NEAREST = import difflib, sys; known = sys.argv[2].split(); near = difflib.get_close_matches(sys.argv[1].upper(), known, 1, 0.6) \
  or difflib.get_close_matches(sys.argv[1], known, 1, 0.6); print("did you mean " + near[0] + "?" if near else "known are " + ", ".join(known))
nearest = $(shell python3 -c $(call quote,$(NEAREST)) $(call quote,$(1)) $(call quote,$(2)))
TARGETS := $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))
GIVEN := $(foreach name,$(.VARIABLES),$(if $(findstring command,$(origin $(name))),$(name)))
UNKNOWN := $(firstword $(filter-out $(SETTINGS) $(OF_MAKE),$(GIVEN)))
STRANGE := $(firstword $(filter-out $(TARGETS),$(MAKECMDGOALS)))
ifneq ($(UNKNOWN),)
$(error unknown variable $(UNKNOWN): $(call nearest,$(UNKNOWN),$(SETTINGS) $(OF_MAKE)))
endif
ifneq ($(STRANGE),)
$(error unknown target $(STRANGE): $(call nearest,$(STRANGE),$(TARGETS)); a data folder is given as DATA=$(STRANGE))
endif
ifeq ($(wildcard pyproject.toml),)
$(error make works in the folder of its Makefile: make -C $(dir $(firstword $(MAKEFILE_LIST))) $(MAKECMDGOALS))
endif
# A value is text: make expands no `$` in it, neither here nor where it exports it.
$(foreach name,$(filter $(SETTINGS),$(GIVEN)),$(eval override $(name) := $$(value $(name))))
ifneq ($(findstring $(newline),$(foreach name,$(GIVEN),$(value $(name)))),)
$(error a value holds a line end; rename the file or folder, or call .venv/bin/melstack)
endif
WORDS = $(foreach name,$(filter $(SETTINGS),$(GIVEN)),$(call quote,$(name)=$($(name))))

LOCK := requirements$(if $(GPU),-gpu).lock
# The stamp's name holds the digest of what is installed: a checkout that only changes times installs nothing.
STAMP := .venv/installed-$(basename $(LOCK))-$(firstword $(shell cat $(LOCK) pyproject.toml | cksum))
BIN := .venv/bin
# TensorFlow's start-up chatter hides our own lines; its errors still show.
export TF_CPP_MIN_LOG_LEVEL ?= 3
# Threads that spin while they wait make boosting many times slower where another program uses the same cores.
export OMP_WAIT_POLICY ?= PASSIVE

##@ Daily
submission: ## the main job, from nothing to the end: both levels, the CSV of test probabilities, the bundle
cases: ## check the CSVs and pictures of DATA, freeze the folds
audit: ## look for leaks; stop at a blocking one: runs/<name>/leaks.json and leaks.png
plan: ## hours, disk and memory of both levels, from a few measured steps; refuses what cannot fit
oof: ## level one: out-of-fold and test predictions of every network of a PROFILE
stack: ## level two: one probability per case, and the leaderboard
blend: ## stacks the finished stacks of RUNS='runs/a runs/b' into RUN, and says what each adds
explain: ## what every column adds to every probability; heat maps, galleries and patient boards
report: ## report.html and model_card.md of the finished stack
paper: ## figures, tables, methods and checklists of the finished stack, for a paper: paper/
next: ## what would help most: patients, networks, views, columns, labels to look at again: next/, and report.html
leaderboard: ## compare finished runs, with paired tests: runs/leaderboard.csv
predict: ## the cases of DATA through BUNDLE, without training: tables in OUT
validate: ## BUNDLE on the labelled cases of DATA: page and tables in OUT;   UPDATE=folder: with updated calibration
serve: ## BUNDLE's page for one patient, and its interface for programs;   ADDRESS=https:..., TOKEN_FILE=file: for other machines
##@ Looking closer
init: ## write run.toml, the settings of a new run on DATA, to be edited before the first command
eda: ## the data's own page, before anything is trained: eda.html
contact-sheet: ## pictures of DATA on one PNG, malignant ones in red
features: ## the feature blocks
views: ## what each test-time view of the trained networks contributes
augment-sheet: ## MODEL's augmentations on pictures of the run, on one PNG
lr-find: ## range test of MODEL's learning rate on the training rows of one fold
tune: ## search MODEL's settings within the ranges of SEARCH, on training folds alone
bundle: ## the bundle alone;   SLIM=0.005: one with the fewest networks within that loss of AUC
distil: ## one frozen network (MODEL) that imitates the finished stack: one ONNX file, and its loss of AUC
##@ Maintaining
verify: ## every file of RUN against its digest: intact, damaged or stale
check-bundle: ## every file of BUNDLE against its digest, its signature, and whether its models can be loaded
sign: ## sign BUNDLE with the private KEY
clinic: ## draw the synthetic clinic, the demo, into data/clinic
spread: ## RECIPE's boosters over a TABLE larger than one machine, on CLUSTER's workers: scores in OUT
sbatch: ## scripts of the run for SLURM: a job array over (model, fold), then the rest; QUEUE=cluster.toml
part: ## one part of level one, beside others: MODEL and FOLD; array jobs of sbatch do one each
design: ## the design matrix of a finished stack as Parquet files in OUT
TRIALS := try-server bench bench-bundle fuzz-bundles results
VERBS := $(shell sed -n '/^\#\#@ Daily/,/^VERBS/s/^\([a-z-]*\): \#\#.*/\1/p' $(firstword $(MAKEFILE_LIST)))
# Messages then name the next command as make's, and a variable may belong to another target of the same call.
$(VERBS) $(TRIALS) prove: export MELSTACK_TYPED_BY := make
$(VERBS) $(TRIALS): export MELSTACK_GOALS := $(MAKECMDGOALS)
$(VERBS): $(STAMP)
	@$(BIN)/melstack $@ $(WORDS)

try-server: ## BUNDLE's page under load: latency, memory, wrong answers
bench: ## speed of this machine, as ratios within one run
bench-bundle: ## the networks of BUNDLE by TensorFlow and by ONNX Runtime, in float32 and int8
fuzz-bundles: ## bundles with altered FILES, each loaded in a process of its own: refused, loaded, crash, hang
results: ## docs/results.md from docs/results.toml;   ONLY=demo-out-of-fold: measure that figure again (ONLY=all: every one)
$(TRIALS): $(STAMP)
	@$(BIN)/python -m benchmarks $@ $(WORDS)

prove: export MELSTACK_GOALS := $(PROOF)
prove: $(STAMP) ## level two against noise, truth, other rules (choice), thresholds, leaks, growth, memory: PROOF=null, PROOF_OPTIONS='--seeds 20'
	@$(BIN)/python -m benchmarks.stacking $(call quote,$(PROOF)) $(WORDS) $(foreach word,$(PROOF_OPTIONS),$(call quote,$(word)))

setup: $(STAMP) ## make .venv and install the locked versions;   GPU=1: with the CUDA libraries

INSTALL = $(if $(shell command -v uv),uv pip install --python $(BIN)/python,$(BIN)/python -m pip install --disable-pip-version-check --no-compile) --quiet
$(STAMP):
	@for python in python3 python3.12 python3.13 python3.11 none; do \
	  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && break; done; \
	if [ $$python = none ]; then echo "error: melstack needs Python 3.11, 3.12 or 3.13 on the PATH" >&2; exit 2; fi; \
	echo "setup: installing the locked versions into .venv with $$($$python --version); one to three minutes, once"; \
	if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python $$python .venv; \
	else \
	  $$python -m venv .venv; \
	fi && \
	$(INSTALL) --require-hashes -r $(LOCK) && PYTHONWARNINGS=ignore $(INSTALL) --no-deps --no-build-isolation --editable .
	@rm -f .venv/installed-* && touch $@

PYTEST = $(BIN)/python -m pytest -n auto --dist loadfile
test: $(STAMP) ## what a developer runs before each commit;   TESTS=file: some of them
	@$(PYTEST) -m 'not full' $(TESTS)

test-all: $(STAMP) ## every test: clusters, browsers, fresh processes;   PIPELINE_KILLS=50, KILLS=10: kill as often
	@$(if $(KILLS),KILLS=$(KILLS)) $(if $(PIPELINE_KILLS),PIPELINE_KILLS=$(PIPELINE_KILLS)) $(PYTEST) $(TESTS)

lint: $(STAMP) ## ruff and mypy strict
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(STAMP) ## lay the code out
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

# What the site, the notebooks and a release need beside the packages of the product.
PUBLISH := .venv/publish-$(firstword $(shell cat requirements-publish.lock | cksum))
$(PUBLISH): $(STAMP)
	@$(INSTALL) --require-hashes -r requirements-publish.lock && rm -f .venv/publish-* && touch $@

docs: $(PUBLISH) ## the documentation site, in build/site: every warning and every broken link is an error
	@$(BIN)/python -m sphinx -b html -W --keep-going -q docs build/site && echo "docs: build/site/index.html"

notebooks: $(PUBLISH) ## run the notebooks of examples/, as they are: build/notebooks
	@mkdir -p build/notebooks && for notebook in examples/*.ipynb; do \
	  echo "notebooks: $$notebook" && $(BIN)/python -m nbconvert --log-level WARN --to notebook --execute --stdin --output build/notebooks/$$(basename $$notebook .ipynb) <$$notebook || exit 1; done

# A wheel is only good if it works where the checkout is not: the demo runs from an environment that has the wheel alone.
RELEASE := build/release
release: $(PUBLISH) ## wheel and source distribution, checked; the demo run from an environment with the wheel alone; the list of parts
	@rm -rf $(RELEASE) && mkdir -p $(RELEASE) && $(BIN)/python -m build --outdir $(RELEASE) . >$(RELEASE).log 2>&1 || { tail -n 20 $(RELEASE).log; exit 1; }
	@$(BIN)/python -m twine check --strict $(RELEASE)/*.whl $(RELEASE)/*.tar.gz
	@python3 -m venv $(RELEASE)/environment && $(RELEASE)/environment/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(RELEASE)/environment/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(RELEASE)/*.whl
	@mkdir $(RELEASE)/demo && cd $(RELEASE)/demo && ../environment/bin/melstack submission
	@$(BIN)/cyclonedx-py environment --output-file $(RELEASE)/parts.json $(RELEASE)/environment/bin/python
	@ls $(RELEASE)/*.whl $(RELEASE)/*.tar.gz $(RELEASE)/parts.json

COMPILE = uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11
lock: ## pin the newest versions that pyproject.toml allows, with the hash of every file (needs uv)
	@$(COMPILE) --upgrade --extra train --extra dev pyproject.toml --output-file requirements.lock
	@$(COMPILE) --constraint requirements.lock --extra train --extra dev --extra gpu pyproject.toml --output-file requirements-gpu.lock
	@$(COMPILE) --constraint requirements.lock --extra predict pyproject.toml --output-file requirements-predict.lock
	@$(COMPILE) --constraint requirements.lock --extra publish pyproject.toml --output-file requirements-publish.lock

audit-dependencies: $(STAMP) ## every locked version against the published advisories
	@$(BIN)/python .ci/audit_dependencies.py requirements.lock requirements-gpu.lock requirements-predict.lock requirements-publish.lock

clean: ## remove .venv and caches; runs/ and data/ stay
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-runs: ## remove every run, trained networks included
	@rm -rf runs

clean-data: ## remove the drawn clinic (data/clinic); your own data is never touched
	@rm -rf data/clinic

help: ## this list
	@echo "usage: make TARGET [NAME=value ...]     make submission DATA=mydata PROFILE=gpu"
	@sed -n -e 's/^\#\#@ \(.*\)/\n\1/p' -e 's/^\([a-z-]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
	@echo
	@echo "Every variable is an option of the command of that name: .venv/bin/melstack TARGET -h explains them (--data is DATA)."

.PHONY: $(VERBS) $(TRIALS) prove setup docs notebooks release test test-all lint format lock audit-dependencies clean clean-runs clean-data help
