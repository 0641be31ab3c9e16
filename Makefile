# make          everything: environment, book, assignments, the sample class graded, and a summary
# make test     the tests
# make help     the other targets

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COURSE := _build/course
ASSIGNMENT ?= resnet
EDITION ?= en
export PATH := $(CURDIR)/$(BIN):$(PATH)
# One thread: the tensors are small, and results do not depend on how many cores there are.
export OMP_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PACKAGE := $(shell find casestudies -name '*.py' -o -name '*.js' -o -name '*.css' -o -name '*.json')
PAGES := $(shell find book -type f) _config.yml
KOREAN := $(shell find locale casestudies -name '*.po' -o -path 'locale/*.txt')
SOURCES := $(wildcard solutions/*.md)
ENVIRONMENT := $(VENV)/.installed
# True where the system package that is nice to have is there.
BUBBLEWRAP := command -v bwrap > /dev/null
CHROMIUM := { command -v chromium || command -v chromium-browser || command -v google-chrome; } > /dev/null
NBGRADER := CASESTUDIES_COURSE=$(COURSE) nbgrader

# The proxy of JupyterHub, from npm; it lies in the environment and goes with it.
PROXY := configurable-http-proxy@5.3.0

.PHONY: all help environment hub book exercises class summary test lint pdf epub slides screenshots gettext korean clean

all: environment book exercises class summary

help:
	@echo "make              environment, book, assignments, sample class, summary"
	@echo "make test         the tests (TESTS='tests/checks -k resnet' for some of them)"
	@echo "make book         the book only: _build/html/index.html, in Korean _build/html/ko/index.html"
	@echo "make exercises    the students' notebooks, from solutions/*.md"
	@echo "make class        grade the sample class of ASSIGNMENT (default: resnet)"
	@echo "make hub          what deploy/ needs and its test uses: JupyterHub, and its proxy (needs Node.js)"
	@echo "make pdf          the book as one PDF: _build/pdf/case-studies.pdf (needs Chromium; EDITION=ko: in Korean)"
	@echo "make epub         the book for e-readers: _build/epub/case-studies.epub"
	@echo "make slides       each chapter as slides: _build/slides/ (CHAPTER=resnet for one of them)"
	@echo "make screenshots  every page of the book at three widths, light and dark"
	@echo "make gettext      the catalogues of the Korean edition, after an edit of the English: locale/ko/"
	@echo "make korean       what is missing in them (PAGE=lenet for one page, in detail)"
	@echo "make lint         ruff and mypy"
	@echo "make clean        remove what was built (not the environment)"

environment: $(ENVIRONMENT)

$(ENVIRONMENT): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Set PYTHON=python3.12, say."; exit 1; }
	@echo "== Environment: $(VENV) (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "python -m venv failed. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --progress-bar on -r requirements.txt
	@$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

hub: $(VENV)/.hub

$(VENV)/.hub: $(ENVIRONMENT) deploy/requirements.txt Makefile
	@echo "== JupyterHub and its proxy"
	@command -v npm > /dev/null || { echo "npm is missing, which brings the proxy: apt-get install npm"; exit 1; }
	@$(BIN)/python -m pip install --progress-bar on -r deploy/requirements.txt
	@npm install --no-audit --no-fund --silent --prefix $(VENV) $(PROXY)
	@touch $@

book: _build/.book _build/.book-ko

_build/.book: $(ENVIRONMENT) $(PAGES) $(PACKAGE) $(SOURCES)
	@echo "== Book"
	@mkdir -p _build
	@jupyter-book build book --config _config.yml --path-output . -W -n --keep-going
	@touch $@

# From the same pages, with the outputs that the English build has put into the cache.
_build/.book-ko: _build/.book $(KOREAN)
	@echo "== Book in Korean"
	@python book/_ext/korean.py
	@touch $@

exercises: _build/.exercises

_build/.exercises: $(ENVIRONMENT) $(SOURCES) casestudies/grading/notebooks.py casestudies/address.py
	@echo "== Assignments: solutions/*.md -> exercises/"
	@mkdir -p _build
	@casestudies exercises
	@touch $@

class: $(COURSE)/.graded-$(ASSIGNMENT)

$(COURSE)/.graded-$(ASSIGNMENT): _build/.exercises $(wildcard samples/$(ASSIGNMENT)/*) $(filter casestudies/check% casestudies/grading/%,$(PACKAGE)) nbgrader_config.py
	@echo "== The sample class of $(ASSIGNMENT), graded by nbgrader in $(COURSE)"
	@casestudies sample-class $(ASSIGNMENT) --course $(COURSE)
	@$(NBGRADER) generate_assignment $(ASSIGNMENT) --create --force --log-level=WARN
	@$(NBGRADER) autograde $(ASSIGNMENT) --force
	@$(NBGRADER) generate_feedback $(ASSIGNMENT) --force --log-level=WARN
	@$(NBGRADER) export --to $(COURSE)/grades.csv --log-level=WARN
	@touch $@

summary:
	@casestudies sample-class $(ASSIGNMENT) --course $(COURSE) --show
	@echo "Open:"
	@echo "  _build/html/index.html                                       the book"
	@echo "  exercises/$(ASSIGNMENT)/$(ASSIGNMENT).ipynb                                what students get"
	@echo "  $(COURSE)/feedback/relu-before-addition/$(ASSIGNMENT)/$(ASSIGNMENT).html   what a student gets back"
	@echo "  $(COURSE)/grades.csv                                     the grades"
	@echo "By hand: the written answers, in jupyter lab, menu Nbgrader, Formgrader (see the Instructor's guide)."
	@$(BUBBLEWRAP) || echo "Missing: bubblewrap. The class was graded WITHOUT a sandbox (apt-get install bubblewrap)."
	@$(CHROMIUM) || echo "Missing: Chromium. The browser tests would be skipped (apt-get install chromium)."

TESTS ?= tests casestudies
# Types take half a minute the first time, a second afterwards.
LINT := ruff check . && ruff format --check . && mypy

test: $(ENVIRONMENT) book exercises
	@$(BUBBLEWRAP) || echo "Missing: bubblewrap. Tests marked 'sandbox' are skipped by name."
	@$(CHROMIUM) || echo "Missing: Chromium. Tests marked 'browser' are skipped by name."
	@$(LINT)
	@python -m pytest -n 2 --dist loadgroup $(TESTS)

lint: $(ENVIRONMENT)
	@$(LINT)

# Printed from the built pages: nothing is executed again.
pdf: $(ENVIRONMENT) book
	@python book/_ext/pdf.py $(EDITION)

# Both from the built pages, too, and without a browser.
epub: $(ENVIRONMENT) book
	@python book/_ext/epub.py

slides: $(ENVIRONMENT) book
	@python book/_ext/slides.py $(CHAPTER)

screenshots: $(ENVIRONMENT) book
	@python book/_ext/screenshots.py

gettext: $(ENVIRONMENT)
	@python book/_ext/catalogues.py

korean: $(ENVIRONMENT)
	@python book/_ext/gate.py $(PAGE)

clean:
	rm -rf _build
