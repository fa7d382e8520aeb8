# The two commands are `make run` and `make test`; each sets up all that it needs. The rest is a
# thin front of CMake and its presets.

PYTHON_VENV := build/venv/bin/python
PREFIX ?= /usr/local
FLIGHTS := build/data/flights.arrow
# The fuzz preset refuses to run without targets.
FUZZ := $(if $(wildcard fuzz/*.c),fuzz)
# Two at most by default: a compiler and a thread-sanitized test each want a core and a gigabyte.
JOBS ?= 2

.PHONY: run test setup python python-freethreaded check docs format tidy fuzz fuzz-long mutants \
    python-mutants mutation stress prove cover install clean bench bench-quick bench-durable \
    bench-recovery bench-budget bench-load bench-render bench-program bench-setup rocksdb

run: setup $(FLIGHTS)
	@cmake --preset release >build/release.log || { cat build/release.log; exit 1; }
	@cmake --build build/release --parallel $(JOBS) --target khonsu_program
	build/release/khonsu demo $(FLIGHTS)
	@echo "From Python: make python, or pip install ./python; then docs/python.md"

test: setup
	$(PYTHON_VENV) tools/run_tests.py --jobs $(JOBS) --only-build release dev nofront \
	    asan python tsan $(FUZZ)

setup:
	@tools/setup.sh

$(FLIGHTS): tools/flights.py tools/sources.txt | setup
	$(PYTHON_VENV) tools/flights.py $@

# A wheel with all that it needs, in dist/, tried in an empty environment.
python: setup
	@tools/setup.sh python
	build/python-venv/bin/python tools/python_wheel.py

# The same without the interpreter lock, and the suite, on a CPython that is built first.
# FREE="--only tsan": a part.
FREE ?=
python-freethreaded: setup
	@tools/setup.sh freethreaded
	for preset in release asan tsan; do \
	    cmake --preset $$preset >/dev/null && \
	    cmake --build build/$$preset --parallel $(JOBS) --target khonsu || exit 1; done
	$(PYTHON_VENV) tools/python_freethreaded.py --jobs $(JOBS) $(FREE)

check: setup
	$(PYTHON_VENV) tools/check_house.py .

docs: setup
	@cmake --preset dev >/dev/null
	cmake --build build/dev --parallel $(JOBS) --target test_hermitage test_policy_matrix
	$(PYTHON_VENV) tools/docs_tables.py . build/dev/test_hermitage build/dev/test_policy_matrix
	$(PYTHON_VENV) tools/api_docs.py .

format:
	clang-format-14 -i $$(git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cpp')

tidy: setup
	cmake --preset dev
	clang-tidy-14 --quiet -p build/dev $$(git ls-files --cached --others --exclude-standard 'src/*.c')

fuzz: setup
	$(PYTHON_VENV) tools/run_tests.py --jobs $(JOBS) fuzz

# Hours. EXECUTIONS of each target, from where the last run stopped.
EXECUTIONS ?= 10000000
fuzz-long: setup
	cmake --preset fuzz >/dev/null
	cmake --build build/fuzz --parallel $(JOBS)
	$(PYTHON_VENV) tools/fuzz_long.py --executions $(EXECUTIONS)

# All planted bugs, in the builds in which their tests find them. MUTANTS=--all asks every test.
mutants: setup
	for preset in dev asan tsan; do \
	    cmake --preset $$preset >/dev/null && \
	    cmake --build build/$$preset --parallel $(JOBS) || exit 1; done
	$(PYTHON_VENV) tools/mutants.py --kind all --jobs $(JOBS) $(MUTANTS)

# Those of the Python extension: some minutes. PYTHON_MUTANTS=--all asks the whole suite.
python-mutants: setup
	@tools/setup.sh python
	for preset in release asan; do \
	    cmake --preset $$preset >/dev/null && \
	    cmake --build build/$$preset --parallel $(JOBS) --target khonsu || exit 1; done
	$(PYTHON_VENV) tools/python_mutants.py --jobs $(JOBS) $(PYTHON_MUTANTS)

# Changes at random, for so many seconds; the next run goes on where this one stopped.
MUTATION_SECONDS ?= 600
MUTATION_SEED ?= 1
mutation: setup
	cmake --preset dev >/dev/null
	cmake --build build/dev --parallel $(JOBS)
	tools/mutation_setup.sh
	$(PYTHON_VENV) tools/mutation.py --jobs $(JOBS) --seconds $(MUTATION_SECONDS) \
	    --seed $(MUTATION_SEED)

# Everything at once, for SECONDS; a seed of the clock's unless one is given.
SECONDS ?= 3600
SEED ?= $(shell date +%s)
stress: setup
	@cmake --preset release >build/release.log || { cat build/release.log; exit 1; }
	@cmake --build build/release --parallel $(JOBS) --target khonsu_stress
	build/release/khonsu-stress --seconds $(SECONDS) --seed $(SEED)

# What tries to refute the claims, for hours; writes docs/reliability.md. SCALE=quick: minutes.
# ONLY=stress,fuzz: some. Put Arrow's collection of IPC files under build/foreign.
SCALE ?= full
ONLY ?= $(if $(wildcard build/foreign),,$(filter-out ipc_foreign,$(PROOFS)))
PROOFS := interleavings certification certification_model histories stress kill failed_calls \
    power_loss flip mutants mutation fuzz ipc_foreign
comma := ,
empty :=
prove: setup
	for preset in dev asan tsan release fuzz; do \
	    cmake --preset $$preset >/dev/null && \
	    cmake --build build/$$preset --parallel $(JOBS) || exit 1; done
	tools/mutation_setup.sh
	$(PYTHON_VENV) tools/prove.py --scale $(SCALE) \
	    --only $(subst $(empty) $(empty),$(comma),$(strip $(ONLY)))

cover: setup
	$(PYTHON_VENV) tools/run_tests.py --jobs $(JOBS) cover
	$(PYTHON_VENV) tools/coverage.py build/cover

BENCH := build/bench/program/khonsu-bench
REPORT := $(PYTHON_VENV) bench/report/report.py

# A RocksDB without debugging hooks, for -DKHONSU_ROCKSDB=build/rocksdb: twenty minutes, and cargo.
rocksdb: setup
	tools/rocksdb.sh

bench-setup: setup
	@tools/setup.sh bench

# Against an installation with default options, as a user has it.
bench-program: bench-setup
	cmake -S . -B build/bench/khonsu -G Ninja -DCMAKE_INSTALL_PREFIX=$(CURDIR)/build/bench/prefix \
	    -DKHONSU_THIRD_PARTY_DIR=$(CURDIR)/build/third_party >build/bench.log
	cmake --build build/bench/khonsu --parallel $(JOBS)
	cmake --install build/bench/khonsu >>build/bench.log
	cmake -S bench -B build/bench/program -G Ninja \
	    -DCMAKE_PREFIX_PATH=$(CURDIR)/build/bench/prefix >>build/bench.log
	cmake --build build/bench/program --parallel $(JOBS)

bench: bench-program
	$(REPORT) --program $(BENCH) --json build/bench/report.json --docs docs

bench-quick: bench-program
	$(REPORT) --program $(BENCH) --scale quick --json build/bench/quick.json --docs build/bench/docs

# The durable part by itself; --into docs/performance/report.json makes it part of the whole.
bench-durable: bench-program
	$(REPORT) --program $(BENCH) --only durable --json build/bench/durable.json \
	    --docs build/bench/durable-docs

# What opening costs: RECOVERY="--only storage --callgrind --directory /dev/shm/recovery", say.
RECOVERY ?=
bench-recovery: setup
	@cmake --preset release >build/release.log || { cat build/release.log; exit 1; }
	@cmake --build build/release --parallel $(JOBS) --target recovery
	$(PYTHON_VENV) bench/report/recovery.py --program build/release/recovery $(RECOVERY)

# A database of ten times its memory, in a control group; needs the right to make one.
bench-budget: bench-program
	$(PYTHON_VENV) bench/budget/budget.py --json build/bench/budget.json

# Loading a file of 3,000,000 rows, beside a sequential write of the same bytes.
LOAD := build/bench/load.arrow
$(LOAD): bench/load/flights.py | setup
	$(PYTHON_VENV) bench/load/flights.py $@

bench-load: setup $(LOAD)
	@cmake --preset release >build/release.log || { cat build/release.log; exit 1; }
	@cmake --build build/release --parallel $(JOBS) --target khonsu_program
	$(PYTHON_VENV) bench/load/load.py --program build/release/khonsu --file $(LOAD) \
	    --json build/bench/load.json

bench-render: setup
	$(REPORT) --render docs/performance/report.json --docs docs

install: setup
	cmake -S . -B build/install -G Ninja -DCMAKE_BUILD_TYPE=Release \
	    -DCMAKE_INSTALL_PREFIX=$(PREFIX) -DKHONSU_THIRD_PARTY_DIR=$(CURDIR)/build/third_party
	cmake --build build/install --parallel $(JOBS)
	cmake --install build/install

clean:
	rm -rf build
