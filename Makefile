# The one way to do things, locally and in CI. `make help` lists the targets.
#
# Needs Python >= 3.11 and Rust >= 1.85; everything else is installed into .venv.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PYTEST := $(PY) -X dev -W error -m pytest
# COVER=1: `make test` notes which lines the ordinary tests reach, for `make coverage-slow`.
COVERED := COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml $(PY) -X dev -W error -m coverage run -m pytest
# The extension takes its docstrings from its twin.
RUST_SOURCES := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock python/xmlsocket/pure.py
CODE := python tests benches examples docs/conf.py docs/_ext
# Outside of the workspace, and here without libFuzzer, for stable Rust.
FUZZ := --locked --manifest-path rust/fuzz/Cargo.toml --no-default-features --target-dir target/fuzz
SECONDS ?= 60
MINUTES ?= 10
SEED ?= 1
TARGET ?= decode
RUFFLE := node_modules/@ruffle-rs/ruffle/ruffle.js
PYRIGHT := target/pyright/node_modules/pyright/index.js
REPEAT ?= 1
MODULE ?= flow
PREFIX ?= $(abspath target/capi)
# Each outside of the workspace: one needs cbindgen, one must not have std.
HEADER := --quiet --locked --manifest-path rust/header/Cargo.toml
NOSTD := --quiet --locked --manifest-path rust/nostd/Cargo.toml
MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"/\1.0/p' Cargo.toml)
MSRV_TARGET ?= target/msrv
SAMPLE ?= 0
# Zig links against the C library of 2014, wherever the wheel is built.
MANYLINUX := $(if $(filter Linux,$(shell uname -s)),--zig --compatibility manylinux2014)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The environment

$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed, $(PYTHON) is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12 …") if sys.version_info < (3, 11) else None'
	@command -v cargo >/dev/null || { echo "Rust is needed (cargo was not found): see rustup.rs" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# 25.1 is the first pip that knows dependency groups.
	$(PY) -m pip install --quiet --upgrade 'pip>=25.1' 'maturin>=1.9.4,<2'
	@touch $@

$(VENV)/.built: $(VENV)/.pip $(RUST_SOURCES) pyproject.toml
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --quiet --release --locked --extras cli,websocket,nats
	@touch $@

$(VENV)/.dev: $(VENV)/.pip pyproject.toml
	$(PY) -m pip install --quiet --group dev
	@touch $@

$(VENV)/.docs: $(VENV)/.pip pyproject.toml
	$(PY) -m pip install --quiet --group docs
	@touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml
	$(PY) -m pip install --quiet --group demo
	@touch $@

$(VENV)/.packages: $(VENV)/.pip pyproject.toml
	$(PY) -m pip install --quiet --group packages
	@touch $@

.PHONY: build
build: $(VENV)/.built  ## build the extension and install the package into .venv

.PHONY: dev
dev: $(VENV)/.dev $(VENV)/.built  ## the same, with the tools for working on it

# Running it

.PHONY: demo
demo: build $(VENV)/.demo  ## five clients talk through a chat server, two more through two (DEMO=stay: and a page)
	@$(BIN)/xmlsocket demo $(if $(filter stay,$(DEMO)),--stay)

# --prefix: npm would rather install into a folder above that it takes for a project.
$(RUFFLE):
	@command -v npm >/dev/null || { echo "npm is needed to install Ruffle (Debian: apt-get install npm)" >&2; exit 1; }
	npm install --prefix . --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error @ruffle-rs/ruffle@0.6.0
	@touch $@

.PHONY: ruffle
ruffle: $(RUFFLE)  ## today's Flash player, for the movie on the demo's page

.PHONY: movie
movie:  ## compile that movie from its source (Debian: apt-get install haxe)
	cd python/xmlsocket/cli/demo/web && haxe chat.hxml

# Tests

.PHONY: test
test: lint types test-rust test-python  ## lint, types, Rust and Python tests: a few minutes

.PHONY: test-rust
test-rust:  ## the tests of the crates, of the load generator, and the kept fuzz inputs
	cargo test --quiet --locked --package xmlsocket-codec --package xmlsocket-capi --package xmlsocket-bench \
		--features xmlsocket-codec/tokio
	cargo test --quiet $(FUZZ)

# Two halves, for `make --jobs=2 test`: what mostly waits for programs and timers, and the rest.
PROGRAMS := tests/backplane tests/cli tests/doctor tests/testing tests/workers

.PHONY: test-python
test-python: test-programs test-library  ## the Python tests that take no longer than a moment each

.PHONY: test-programs
test-programs: dev fault-tools cover-begin
	$(if $(COVER),$(COVERED),$(PYTEST)) -q -m 'not slow' $(PROGRAMS)

.PHONY: test-library
test-library: dev fault-tools cover-begin
	$(if $(COVER),$(COVERED),$(PYTEST)) -q -m 'not slow' $(addprefix --ignore=,$(PROGRAMS))

.PHONY: cover-begin
cover-begin:
	@$(if $(COVER),rm -f .coverage .coverage.*)

.PHONY: test-all
test-all: dev e2e-tools fault-tools coverage coverage-rust test-uvloop test-wheel test-vendor  ## all tests, on every loop and codec, from the wheel, and copied

.PHONY: coverage
coverage:  ## all Python tests, slow ones included, with their branch coverage
	$(MAKE) COVER=1 test-python
	$(MAKE) coverage-slow

.PHONY: coverage-slow
coverage-slow: dev e2e-tools  ## the slow ones only, then their coverage and that of `make COVER=1 test`
	$(COVERED) -q -m slow --ignore tests/vendor
	$(PY) -m coverage combine --quiet
	@# All of it, seen often; the tenth is for branches that only one outcome of a race takes.
	$(PY) -m coverage report --fail-under=99.9

.PHONY: coverage-rust
coverage-rust: llvm-tools  ## the lines of the codec crate that its Rust tests leave out: must be none
	$(PYTHON) tests/rust_coverage.py

.PHONY: llvm-tools
llvm-tools:
	@PYTHON=$(PYTHON) tests/llvm-tools.sh

.PHONY: e2e
e2e: dev e2e-tools  ## the chat page and Flash movies in a real browser (REPEAT=N runs them N times)
	for run in $$(seq $(REPEAT)); do $(PYTEST) -q tests/e2e; done

.PHONY: e2e-tools
e2e-tools:
	@tests/e2e/install.sh

.PHONY: fault-tools
fault-tools:
	@tests/faults/install.sh

.PHONY: test-faults
test-faults: dev fault-tools  ## resets, kills, stops and small attacks over real sockets
	$(PYTEST) -q tests/faults tests/soak

.PHONY: test-uvloop
test-uvloop: dev  ## the tests of everything that runs on a loop, on uvloop
	$(PYTEST) -q --loop uvloop tests/asyncio tests/flash tests/test_gateway.py

.PHONY: test-pure
test-pure: dev  ## all Python tests but the slow ones with the pure-Python codec
	XMLSOCKET_PURE=1 $(PYTEST) -q -m 'not slow'

.PHONY: test-vendor
test-vendor: dev vendor-tools  ## the crate, the C library and the single file, as those use them who copy them; Xdebug
	$(PYTEST) -q tests/vendor

.PHONY: vendor-tools
vendor-tools:
	@tests/vendor/install.sh $(MSRV)

.PHONY: msrv
msrv:  ## build the crate and the C library with the oldest Rust that Cargo.toml promises
	@rustup run $(MSRV) rustc --version || { echo "it is needed: rustup toolchain install --profile minimal $(MSRV)" >&2; exit 1; }
	rustup run $(MSRV) cargo build --quiet --locked --target-dir $(MSRV_TARGET) --package xmlsocket-codec --features tokio
	rustup run $(MSRV) cargo build --quiet --locked --target-dir $(MSRV_TARGET) --package xmlsocket-codec --no-default-features
	rustup run $(MSRV) cargo build --quiet --locked --target-dir $(MSRV_TARGET) --package xmlsocket-capi

.PHONY: soak
soak: dev  ## random inputs for the codec (SECONDS=60 SEED=1), then servers under everything (MINUTES=10)
	cargo run --quiet --release $(FUZZ) --bin soak -- $(SECONDS) $(SEED)
	$(PY) -m tests.soak --minutes $(MINUTES) --seed $(SEED)

# Instrumented code needs a target named, or build scripts would be instrumented too.
.PHONY: sanitize
sanitize:  ## the tests of the codec crate under AddressSanitizer (Linux): a minute
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test --quiet --locked --package xmlsocket-codec \
		--lib --tests --target $$(rustc -vV | sed -n 's/^host: //p') --target-dir target/sanitize

.PHONY: fuzz
fuzz:  ## the same with libFuzzer (TARGET=decode, encode or prolog): nightly Rust and cargo-fuzz
	@cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is needed: cargo install cargo-fuzz" >&2; exit 1; }
	cd rust && cargo +nightly fuzz run --fuzz-dir fuzz --target-dir ../target/libfuzzer $(TARGET) -- -max_total_time=$(SECONDS)

.PHONY: mutants
mutants: dev  ## mutation testing (MODULE=flow, limits, outbox or pure; SAMPLE=60 tries so many): long
	$(PY) -m pip install --quiet --group mutants
	PYTHONPATH=python nice -n 5 $(PY) -m tests.mutants $(MODULE) $(SAMPLE)

.PHONY: audit
audit:  ## ask for known faults of what is installed and locked; fails where nobody can be asked
	$(MAKE) --keep-going audit-python audit-rust

.PHONY: audit-python
audit-python: dev
	$(PY) -m pip install --quiet --group audit
	@mkdir -p target
	$(PY) -m pip freeze --exclude-editable > target/audit.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip -r target/audit.txt || { echo "pip-audit found a known fault, or pypi.org does not tell of them here: see above" >&2; exit 1; }

.PHONY: audit-rust
audit-rust:
	@cargo audit --version >/dev/null 2>&1 || { echo "cargo-audit is needed: cargo install cargo-audit" >&2; exit 1; }
	cargo audit || { echo "cargo-audit found a known fault, or cannot reach github.com/RustSec: see above" >&2; exit 1; }

.PHONY: lint
lint: dev  ## ruff, rustfmt, clippy, and warnings of rustdoc
	$(BIN)/ruff check --quiet $(CODE)
	$(BIN)/ruff format --quiet --check $(CODE)
	cargo fmt --all --check
	cargo clippy --quiet --locked --workspace --all-targets --features xmlsocket-codec/tokio -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --quiet --locked --no-deps --package xmlsocket-codec --package xmlsocket-capi \
		--features xmlsocket-codec/tokio
	cargo fmt --manifest-path rust/fuzz/Cargo.toml --check
	cargo clippy --quiet $(FUZZ) --all-targets -- --deny warnings
	cargo fmt --manifest-path rust/nostd/Cargo.toml --check
	cargo clippy $(NOSTD) --target-dir target/nostd -- --deny warnings
	cargo fmt --manifest-path rust/header/Cargo.toml --check

.PHONY: types
types: dev  ## mypy in strict mode, and the stub of the extension against the extension
	$(PY) -m mypy
	$(PY) -m mypy.stubtest --mypy-config-file pyproject.toml xmlsocket._rust

# It is asked for the types in an environment, which it finds by PATH only.
$(PYRIGHT):
	@command -v npm >/dev/null || { echo "npm is needed to install pyright (Debian: apt-get install npm)" >&2; exit 1; }
	npm install --prefix target/pyright --no-audit --no-fund --ignore-scripts --loglevel=error pyright@1.1.414
	@touch $@

.PHONY: verifytypes
verifytypes: dev $(PYRIGHT)  ## pyright's look at the package, as its users have it: every name has a known type
	PATH="$(abspath $(BIN)):$$PATH" node $(PYRIGHT) --verifytypes xmlsocket --ignoreexternal

.PHONY: format
format: dev  ## rewrite the code as the linters want it
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)
	cargo fmt --all
	cargo fmt --manifest-path rust/fuzz/Cargo.toml
	cargo fmt --manifest-path rust/nostd/Cargo.toml
	cargo fmt --manifest-path rust/header/Cargo.toml

# Benchmarks

.PHONY: bench-codec
bench-codec: dev  ## the codec against pure-Python splitting, as ratios in one run
	$(PY) -m benches.compare

.PHONY: bench-peers
bench-peers: dev  ## build the rivals: Go, Rust, Java, Python; says loudly what is missing
	$(PY) -m pip install --quiet --group bench
	$(PY) -m benches.peers.build

.PHONY: bench
bench: bench-peers  ## servers over loopback beside their rivals, with a record in benches/record
	$(PY) -m benches.servers --record servers

.PHONY: bench-quick
bench-quick: bench-peers  ## the same in a few minutes, without a record
	$(PY) -m benches.servers --quick

# Documentation

SPHINX := $(PY) -m sphinx --quiet --fail-on-warning --keep-going

.PHONY: docs
docs: build $(VENV)/.docs  ## the documentation as a site, into docs/_build/html
	@# --fresh-env: the menu of a page that did not change would stay as it was.
	$(SPHINX) --fresh-env -b html docs docs/_build/html

.PHONY: linkcheck
linkcheck: build $(VENV)/.docs  ## ask the servers of others whether what the documentation links to is there
	$(PY) -m sphinx --quiet -b linkcheck docs docs/_build/linkcheck

.PHONY: attacks
attacks: bench-peers  ## attacks on this server and its rivals, with a record in benches/record (20 minutes)
	$(PY) -m benches.attacks --record

# Packages

.PHONY: capi
capi:  ## build the C library and install it below PREFIX (target/capi)
	@# bash: the files of an sdist have lost their modes.
	bash rust/capi/install.sh $(PREFIX)

.PHONY: header
header:  ## write the C library's header anew
	cargo run $(HEADER) --target-dir target/header

# Not among the tests: cbindgen takes longer to compile than all else that they do.
.PHONY: header-check
header-check:  ## see that it is what cbindgen makes of the source, to the byte
	cargo run $(HEADER) --target-dir target/header -- --check

.PHONY: wheel
wheel: $(VENV)/.packages  ## the wheel and the sdist, into dist/
	rm -rf dist
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/maturin build --quiet --release --locked $(MANYLINUX) --sdist --out dist
	@ls -l dist

.PHONY: test-wheel
test-wheel: wheel  ## the tests against the wheel, without the source tree, on both codecs; the wheel again from the sdist
	@$(PY) tests/packaging.py dist

.PHONY: clean
clean:  ## remove what the targets above made
	rm -rf $(VENV) dist target docs/_build .coverage .coverage.* .mypy_cache .ruff_cache .hypothesis

.PHONY: help
help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
