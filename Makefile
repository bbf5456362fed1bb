# Encoder–Decoder LLMs for Instruction Tasks. `make` or `make help` lists what there is.
# Needs Python 3.11, 3.12 or 3.13 and make; everything else is installed into $(VENV).

PYTHON ?= python3
VENV   ?= .venv
PORT   ?= 8000
JOBS   ?= 2

BIN      := $(VENV)/bin
READY    := $(VENV)/.installed
CHAPTERS := $(sort $(wildcard chapters/*.ipynb))

# Chapters run in the same surroundings whether they are refreshed or tested: on the CPU, one thread
# for each process, from the models in this repository.
RUN := env HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 TRANSFORMERS_VERBOSITY=error \
	TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 PYTHONHASHSEED=0 \
	CUDA_VISIBLE_DEVICES= ENCDEC_DEVICE=cpu ENCDEC_SOURCE=book

LOCK = $(BIN)/uv pip compile pyproject.toml --extra book --extra test --universal --python-version 3.11 \
	--custom-compile-command "make lock" -q

.DEFAULT_GOAL := help
.PHONY: help install book serve test lint check check-threads test-matrix refresh measure student slides check-slides pdf links lighthouse colab-rehearsal class-load load assignments grade-demo faults fuzz bench lock licences sbom clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

book: $(READY) ## build the website from the stored outputs
	@$(BIN)/jupyter-book build . -W -n --keep-going -q >/dev/null || { rm -rf _build/.doctrees; exit 1; }
	@cp -R assets/. _build/html/_static/  # also where no page changed
	@$(RUN) $(BIN)/python tools/live.py _build/html
	@echo "The book is built: open file://$(CURDIR)/_build/html/index.html or run \`make serve\`."

serve: book ## build the website and serve it on this machine
	@echo "Reading at http://127.0.0.1:$(PORT) (Ctrl-C ends it)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

test: lint check ## all checks: style, types, unit tests, every chapter, the site

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

check: $(READY)
	@$(RUN) $(BIN)/pytest -n $(JOBS) --dist loadfile --durations 5 \
		--nbval --nbval-current-env --nbval-sanitize-with tests/book/nbval-sanitize.cfg \
		tests $(CHAPTERS)

check-threads: $(READY) ## compare the chapters with their stored outputs on 1, 2 and 4 threads (CHAPTERS=... for some)
	@failed=0; for threads in 1 2 4; do echo "$$threads threads:"; \
		$(RUN) OMP_NUM_THREADS=$$threads MKL_NUM_THREADS=$$threads \
		$(BIN)/pytest -n $$((($(JOBS) + threads - 1) / threads)) --dist loadfile \
		--nbval --nbval-current-env --nbval-sanitize-with tests/book/nbval-sanitize.cfg $(CHAPTERS) || failed=1; done; exit $$failed

test-matrix: $(READY) ## unit tests with the oldest and the newest versions that pyproject.toml allows (TORCH=... keeps one)
	@$(BIN)/python -m pip install -q uv
	@$(RUN) $(BIN)/python tools/matrix.py $(if $(TORCH),--torch $(TORCH))

refresh: $(READY) ## execute the chapters and store their outputs (CHAPTERS=... for some)
	@$(RUN) $(BIN)/python tools/refresh.py $(CHAPTERS)

measure: book ## record time and memory of every chapter and of the live page, on an idle machine
	@$(RUN) $(BIN)/python tools/measure.py
	@$(RUN) $(BIN)/python tools/live.py --measure

student: $(READY) ## write every chapter without its solutions, and with them open, to _build/editions
	@$(BIN)/python tools/editions.py

load: book ## measure commands, lines and pages used again and again, and write results/load.json (about 20 minutes, idle)
	@$(RUN) $(BIN)/python tools/load.py

class-load: $(READY) ## let thirty students run a chapter, and write results/class-load.json (about 10 minutes)
	@$(RUN) $(BIN)/python tools/class_load.py

assignments: $(READY) ## write the students' version of the assignments to _build/assignments
	@$(BIN)/python -m pip install -q -r course/requirements.txt
	@$(BIN)/python -m course.grade release

grade-demo: $(READY) ## mark solutions, untouched notebooks and every wrong answer on file (a few minutes)
	@$(BIN)/python -m pip install -q -r course/requirements.txt
	@$(RUN) $(BIN)/python -m course.grade demo
	@$(RUN) $(BIN)/pytest tests/course/test_grade.py

colab-rehearsal: $(READY) ## run every chapter as on a fresh Colab runtime (about 20 minutes)
	@REHEARSE=all $(BIN)/pytest --durations 0 tests/book/test_colab.py

slides: $(READY) ## write slides of every chapter, with notes, to _build/html/slides
	@$(BIN)/python tools/slides.py

check-slides: $(READY) ## open every slide in a browser: does it fit, does it fetch anything?
	@SLIDES=all $(BIN)/pytest tests/book/test_slides.py

pdf: $(READY) ## write the whole book to _build/encoder-decoder-llms.pdf (needs Chromium; a few minutes)
	@$(BIN)/python tools/pdf.py

links: $(READY) ## follow every link that leaves the book, where there is a network
	@$(BIN)/python tools/links.py

lighthouse: book ## let Lighthouse judge every page, on an idle machine, and write results/lighthouse.json (about 30 minutes)
	@$(BIN)/python tools/lighthouse.py $(PAGES)

faults: $(READY) ## run every fault of tests/reliability and write results/faults.json (a few minutes)
	@FAULTS=all $(RUN) $(BIN)/pytest tests/reliability

fuzz: $(READY) ## look for input that breaks a parser, ten minutes, and write results/fuzzing.json (Linux)
	@$(BIN)/python -m pip install -q -r tests/reliability/requirements.txt
	@$(RUN) $(BIN)/python tests/reliability/fuzz.py

bench: $(READY) ## measure speed on an idle machine and write results/benchmark-*.json (about 45 minutes)
	@$(BIN)/python -m pip install -q -r benchmarks/requirements.txt
	@$(BIN)/python -m benchmarks.length
	@$(BIN)/python -m benchmarks.decoding
	@$(BIN)/python -m benchmarks.training
	@$(BIN)/python -m benchmarks.workers

lock: ## write requirements.txt and its hashes anew from pyproject.toml (UPGRADE=1: newest versions)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q uv
	@$(LOCK) $(if $(UPGRADE),--upgrade) -o requirements.txt
	@$(LOCK) --constraint requirements.txt --no-annotate --generate-hashes -o requirements-hashes.txt

licences: $(READY) ## write LICENSES.md, after `make lock` or a new model
	@$(BIN)/python tools/licences.py

sbom: $(READY) ## write bills of materials (CycloneDX) of packages and of the website's scripts to _build/sbom
	@$(BIN)/python tools/sbom.py

clean: ## remove what was built (CLEAN=all: the environment and what was fetched as well)
	@rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	@find src tests tools _ext chapters -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
	@$(if $(filter all,$(CLEAN)),rm -rf $(VENV) .cache)

install: $(READY) ## only make the environment

$(READY): requirements-hashes.txt pyproject.toml tools/install.py
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here: install Python 3.11, 3.12 or 3.13."; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "The book needs Python 3.11, 3.12 or 3.13 and this is %d.%d: name another with `make PYTHON=python3.12`." % v)'
	@$(PYTHON) tools/install.py $(VENV)
	@touch $@
