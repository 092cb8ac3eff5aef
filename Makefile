# Two commands are enough: `make run` and `make test`. Each builds its environment first.

# The first of these that is Python 3.11 to 3.13; or say it: make run PYTHON=/path/to/python3
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/installed
export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := help
.PHONY: help install run test smoke wheel lab serve models lint docs pictures notebooks lock clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(INSTALLED)  ## build the environment in .venv

$(INSTALLED): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; none was found. Install one, or: make $(MAKECMDGOALS) PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: $(INSTALLED)  ## run the six notebooks on the sample set and judge one photo
	$(BIN)/deepfake-lab run

test: $(INSTALLED)  ## unit tests, then every notebook from top to bottom
	$(BIN)/python -m pytest -n logical --cov=deepfake_lab --cov-report=term:skip-covered

wheel: $(INSTALLED)  ## build dist/*.whl, the package to install without a checkout
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

smoke: $(INSTALLED)  ## install the wheel into an empty environment and use it, without TensorFlow
	$(BIN)/python tools/smoke_wheel.py

lab: $(INSTALLED)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

serve: $(INSTALLED)  ## the web page on http://127.0.0.1:5000/
	$(BIN)/python run.py

# Photos of unseen sources lie in a folder of their own, unseen/: without it, the rest is made.
models: $(INSTALLED)  ## train the shipped detectors anew, from your data in DEEPFAKE_LAB_DATA (hours)
	$(BIN)/python tools/make_models.py train cnn
	$(BIN)/python tools/make_models.py train efficientnet
	$(BIN)/python tools/make_models.py leave-out efficientnet
	$(BIN)/python tools/make_models.py ablate efficientnet
	$(BIN)/python tools/make_models.py audit efficientnet
	$(BIN)/python tools/make_models.py measure cnn
	$(BIN)/python tools/make_models.py measure efficientnet --baseline cnn
	$(BIN)/python benchmarks/unseen.py || echo "Cards and results go without photos of unseen sources."
	$(BIN)/python tools/readme_results.py

lint: $(INSTALLED)  ## check style and notebooks, as the pre-commit hooks do, and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)  ## build the site in build/site/html, offline; a warning is an error
	$(BIN)/python tools/make_site.py

pictures: $(INSTALLED)  ## draw the pictures of README and site anew (needs Chromium)
	$(BIN)/python tools/page_picture.py
	$(BIN)/python tools/thumbnails.py

notebooks: $(INSTALLED)  ## run the notebooks with their defaults and store the outputs
	DEEPFAKE_LAB_HOME="$(CURDIR)/build/notebooks" $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
		--log-level=WARN notebooks/*.ipynb
	$(BIN)/nbstripout --keep-output --keep-count --drop-output-type stream:stderr \
		--extra-keys "metadata.papermill metadata.widgets cell.metadata.papermill cell.metadata.execution" \
		notebooks/*.ipynb

lock: $(INSTALLED)  ## write requirements.txt anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" -o requirements.txt

clean:  ## remove the environment and what runs have written; data and models/ stay
	rm -rf .venv build dist logs runs *.egg-info .pytest_cache .ruff_cache
