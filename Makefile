# The two commands that matter: `make demo` (the main job) and `make test`. Each installs what it needs.
#
#   make demo                                           simulated logs, about ten minutes on two cores
#   make demo SOURCE=kuairand DATA=path/to/kuairand     real logs
#   make demo KEEP=1                                    leave the server running at the end
#   make serve RUN=runs/demo PORT=8080                  serve what a run made

PYTHON ?= python3
SOURCE ?= demo
DATA ?=
RUN ?= runs/$(SOURCE)
PORT ?= 8080
BASE ?=
IMAGES ?= serve-cpu serve-gpu train tools
OPTIONS ?=
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps

export DO_NOT_TRACK = 1
# One thread a process: weights then do not depend on the number of cores, and a second job on the machine
# does not stall every parallel region. Two threads train only 1.2 times as fast at these sizes.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup system-deps demo test lint bench bench-tokenizer bench-training bench-quality bench-alignment bench-decoding bench-serving bench-monitoring serve images image-base image-deps test-images clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: .venv/.installed ## install the locked environment into .venv

# --no-deps: the lock is complete, and resolving it again takes longer than installing it.
.venv/.installed: requirements.lock pyproject.toml $(wildcard higr/decode/engines/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "higr needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 2; }
	@echo "installing the locked environment into .venv (two to five minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(INSTALL) -r requirements.lock
	@$(INSTALL) --no-build-isolation -e .
	@$(BIN)/python -m pip check
	@touch $@

system-deps: setup ## what some tests need beside Python: chromium, redis-server, helm, kubectl; a C compiler for engine cpu
	@PYTHON=$(BIN)/python sh scripts/system-deps.sh
	@ls higr/decode/engines/_int8*.so >/dev/null 2>&1 || $(INSTALL) --no-build-isolation -e .

demo: setup ## logs -> bundle -> slates -> drift report; SOURCE=demo|nano|kuairand DATA=folder RUN=folder KEEP=1
	@$(BIN)/python scripts/demo.py --config $(SOURCE) --run $(RUN) $(if $(DATA),--data "$(DATA)") $(if $(KEEP),--keep)

test: setup ## the whole suite; skips, saying why, what needs a missing system package
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup ## ruff, mypy, the import rule
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup ## speed of the bundle in RUN, with JSON and Markdown under benchmarks/results
	@$(BIN)/python -m benchmarks.slates --bundle $(RUN)/bundle

bench-tokenizer: setup ## quality and speed of semantic IDs on the public data in DATA (folders kuairec_meta, kuairand_pure, amazon)
	@$(BIN)/python -m benchmarks.tokenizer $(if $(DATA),--data "$(DATA)")

bench-training: setup ## what training costs beside its matrix products; loader; two processes against one
	@$(BIN)/python -m benchmarks.training

bench-quality: setup ## slates of HiGR and its opponents on the public data in DATA; PRESET=full|quick; goes on where it stopped
	@$(BIN)/python -m benchmarks.quality $(if $(DATA),--data "$(DATA)") $(if $(PRESET),--preset $(PRESET))

bench-alignment: setup ## objectives and negatives of alignment on KuaiRand in DATA and in the simulator; PRESET=full|quick; goes on where it stopped
	@$(BIN)/python -m benchmarks.alignment $(if $(DATA),--data "$(DATA)") $(if $(PRESET),--preset $(PRESET))

bench-decoding: setup ## HiGR beside T5 and flat decoding, by engine; parity on the bundle in RUN, if there is one; PRESET=full|quick
	@$(BIN)/python -m benchmarks.decoding $(if $(PRESET),--preset $(PRESET)) $(if $(wildcard $(RUN)/bundle),--run $(RUN))

bench-serving: setup ## the endpoint under load, at one request at a time, and under faults; needs redis-server; PRESET=full|quick
	@$(BIN)/python -m benchmarks.serving $(if $(PRESET),--preset $(PRESET))

bench-monitoring: setup ## the drift job over a quiet month, nine faults and many rows; PRESET=full|quick
	@$(BIN)/python -m benchmarks.monitoring $(if $(PRESET),--preset $(PRESET))

serve: setup ## serve the bundle in RUN on PORT; the word in RUN/switch decides who makes the slates
	@test -e $(RUN)/switch || echo auto > $(RUN)/switch
	@$(BIN)/python -m serving --bundle $(RUN)/bundle --features $(RUN)/features --log-dir $(RUN)/predictions \
		--switch $(RUN)/switch --http-port $(PORT)

image-deps: setup ## what building images needs: buildah, podman, mmdebstrap, syft; large
	@PYTHON=$(BIN)/python sh scripts/image-deps.sh

image-base: ## a base image from Debian's packages alone; prints the BASE for make images
	@sh images/base.sh

images: ## container images with SBOMs under dist/images; BASE=debian:12-slim@sha256:..., IMAGES="serve-cpu tools", OPTIONS of images/build.py
	@test -n "$(BASE)" || { echo "name the base image: make images BASE=debian:12-slim@sha256:... (docs/images.md)"; exit 2; }
	@for image in $(IMAGES); do $(PYTHON) images/build.py $$image --base "$(BASE)" $(OPTIONS) || exit $$?; done

test-images: image-deps ## build images and run them as the chart's pods; half an hour
	@HIGR_TEST_IMAGES=1 $(BIN)/python -m pytest -x -s tests/images

clean: ## remove the environment, runs and caches
	rm -rf .venv runs build dist .tools .mypy_cache .ruff_cache .import_linter_cache .hypothesis
