VENV ?= .venv
PYTHON ?= python3
BIN = $(abspath $(VENV))/bin
SEED ?= 0
JOBS ?= 2

.PHONY: demo test test-fast lint notebook

# The tested set of packages and this checkout, installed once and again when the set changes.
$(VENV)/.installed: requirements/lock.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; make PYTHON=... names another"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/lock.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python -u tools/demo.py --seed $(SEED)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The page on own videos as a notebook, with what it prints. It works in mine/.
notebook: export PATH := $(BIN):$(PATH)
notebook: export PYTHONPATH = $(abspath $(VENV))/extras
notebook: $(VENV)/extras/.installed
	python -m jupytext --to ipynb docs/own_videos.md
	cd docs && python $(PYTHONPATH)/bin/jupyter-execute --inplace own_videos.ipynb

# Further sets, to be put before the packages of the environment: other supported releases of
# MMAction2 and MMCV; MMPretrain and torchvision; gradio, a browser's driver, and Jupyter.
$(VENV)/%/.installed: requirements/%.txt $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target $(@D) -r $<
	touch $@

# All but what takes long: trainings, tools in processes of their own, many files.
test-fast: lint
	PATH="$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal \
		--quiet -m "not slow"

test: lint $(VENV)/other/.installed $(VENV)/torchvision/.installed $(VENV)/extras/.installed
	PATH="$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
	PATH="$(BIN):$$PATH" PYTHONPATH="$(abspath $(VENV))/other" $(BIN)/python -m pytest --quiet \
		tests/test_version.py tests/system/test_configs.py tests/checks/test_checks.py \
		tests/system/test_restart.py \
		-k 'test_version or (configs and not leaf_trains) or can_start or killed_again_and_again'
	PATH="$(BIN):$$PATH" PYTHONPATH="$(abspath $(VENV))/torchvision" $(BIN)/python -m pytest \
		--quiet tests/system/test_configs.py tests/models/test_inflate.py \
		-k 'today or imagenet or mmpretrain or randaugment'
	PATH="$(BIN):$$PATH" PYTHONPATH="$(abspath $(VENV))/extras" $(BIN)/python -m pytest --quiet \
		tests/inference/test_web.py tests/system/test_own_videos.py
