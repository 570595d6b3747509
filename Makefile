# The project's commands. Each does only what has changed since it last ran.
#
#   make demo     train on real data with averaging, print and plot what it brings
#   make check    lint, and the tests of what most changes touch: within two minutes
#   make test     build, install and run the test suite, with the oldest TensorFlow in short
#   make test-long  the tests that take too long for it, before a release
#   make sanitize   what lies below TensorFlow under AddressSanitizer, UBSan and ThreadSanitizer,
#                   and the ops under the first two
#   make mutants  faults put into the sources, each of which its test must catch; MUTANTS="words"
#   make lint     formatting, static checks and types
#   make docs     the pages of docs/, built into out/docs
#   make docs-test   look at each page in a browser; needs Chromium
#   make bench    measure against the peers, write bench/results
#   make wheel    a repaired wheel in dist/, for the TensorFlow that is installed here
#   make sdist    the sources, in dist/
#   make wheels   one for several minor versions of TensorFlow, in dist/minors/
#   make test-minors   tests of that wheel, with each of these versions
#   make check-aarch64   the kernels on an emulated aarch64
#   make release  such wheels for each Python, in containers, in dist/release/; needs Docker
#   make gpu-kit  dist/gpu_kit.tar.gz: what proves the GPU kernels on another machine
#   make clean    remove everything that the other targets made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
# 25.1 is the first pip that knows dependency groups.
PIP_VERSION := 26.2

SOURCES := CMakeLists.txt pyproject.toml README.md LICENSE \
  $(shell find cc cmake cuda tf_mavg tf_mavg_check tf_mavg_cli bench -type f -not -path "bench/results/*" -not -name '*.pyc')
# The tests that run, or run once more, on a GPU, if need be the emulated one.
DEVICE_TESTS := tests/gpu/test_kernels.py tests/gpu/test_lazy_rows_kernels.py \
  tests/gpu/test_stochastic_kernels.py tests/averages/update/test_lazy.py \
  tests/averages/test_averages.py tests/averages/test_optimizer.py \
  tests/averages/update/test_rounding.py tests/averages/test_several.py tests/files/test_saver.py \
  tests/commands/test_bench_device.py \
  $(addprefix tests/ops/test_,all_finite.py apply_moving_average.py binding.py binding_order.py \
  binding_sessions.py errors.py lazy_rows.py split_moving_average.py stochastic_average.py \
  swap_variables.py)
CHECKED_TESTS := tests/test_architecture.py \
  $(addprefix tests/,core compat decays posthoc ops averages files keras)
# The tests of what differs between versions of TensorFlow.
MINOR_TESTS := tests/averages/test_averages.py tests/averages/test_optimizer.py tests/compat \
  tests/files/test_saver.py tests/files/test_checkpoint.py tests/keras tests/ops
# What tf_keras 2.18 does itself, and TensorFlow 2.20, and what Python 3.11 and protobuf 6 think of it.
MINOR_WARNINGS := -W "ignore:non-integer arguments to randrange:DeprecationWarning" \
  -W "ignore:float_format is deprecated for text_format:UserWarning"
# A process has all tests of a file, which share what its fixtures make. Files keep their order, since
# most of those that take long come early, and are no process's last when the others have ended.
PYTEST_FILES := --dist loadfile --no-loadscope-reorder --maxprocesses 4
PYTEST_WORKERS := --numprocesses auto $(PYTEST_FILES)
# Many of all tests wait for the programs that they start: one process more than there are cores.
PYTEST_MORE_WORKERS := --numprocesses $(shell expr $$(nproc) + 1) $(PYTEST_FILES)
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

# TensorFlow's C++ side talks at every import; its errors still show.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: install demo check test test-long sanitize mutants lint docs docs-test bench \
  wheel sdist wheels environments gpu-images repaired test-minors test-oldest \
  check-aarch64 release gpu-kit clean

install: $(STAMPS)/package

demo: $(STAMPS)/package $(STAMPS)/demo
	$(BIN)/python examples/digits.py

bench: $(STAMPS)/package $(STAMPS)/bench
	$(BIN)/tf_mavg bench measure --folder bench/results
	$(BIN)/tf_mavg bench report --folder bench/results --page docs/speed.md --page docs/costs.md \
	  --page README.md

check: lint $(STAMPS)/package $(STAMPS)/test
	$(BIN)/pytest --quiet $(PYTEST_WORKERS) -m "not slow and not long" $(CHECKED_TESTS) $(PYTEST_ARGS)

test: $(STAMPS)/package $(STAMPS)/test $(STAMPS)/demo $(STAMPS)/docs dist/stamp
	$(BIN)/pytest $(PYTEST_MORE_WORKERS) -m "not long" $(PYTEST_ARGS)
	$(BIN)/python tests/gpu.py pytest $(PYTEST_WORKERS) -m "not long" --device gpu $(DEVICE_TESTS)
	$(MAKE) test-oldest

test-long: $(STAMPS)/package $(STAMPS)/test $(STAMPS)/demo $(STAMPS)/docs dist/stamp
	$(BIN)/pytest $(PYTEST_WORKERS) -m long $(PYTEST_ARGS)

# Builds in build/sanitize and uses nothing of the installed package but its GPU images.
sanitize: $(STAMPS)/package $(STAMPS)/test
	$(BIN)/pytest tests/sanitizers $(PYTEST_ARGS)

# With MUTANTS those alone whose names, kinds or files have all of its words.
mutants: $(STAMPS)/package $(STAMPS)/test
	PYTHONPATH=tests:tests/helpers $(BIN)/python -m mutants $(MUTANTS)

lint: $(STAMPS)/build $(STAMPS)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cc' '*.h' '*.cu' '*.cuh')
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows
	$(BIN)/cibuildwheel --print-build-identifiers --platform linux --archs x86_64,aarch64 >/dev/null

docs: $(STAMPS)/package $(STAMPS)/docs
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env docs out/docs
	@echo "Open out/docs/index.html."

# Chromium comes from the system, as by `apt-get install chromium`; TF_MAVG_CHROMIUM names another one.
docs-test: $(STAMPS)/package $(STAMPS)/test $(STAMPS)/docs $(STAMPS)/docs-test
	TF_MAVG_BROWSER_TESTS=required $(BIN)/pytest tests/docs/test_browser.py $(PYTEST_ARGS)

WHEEL_OPTIONS := --disable-pip-version-check --no-deps --no-build-isolation
# Repaired: its tag names the oldest C library that it runs on.
REPAIR := PATH="$(CURDIR)/$(BIN):$$PATH" auditwheel repair \
  --exclude libtensorflow_framework.so.2 --exclude libtensorflow_cc.so.2

wheel: dist/stamp

dist/stamp: $(STAMPS)/package $(STAMPS)/wheel
	rm -rf build/wheel dist/*.whl
	$(BIN)/pip wheel --quiet $(WHEEL_OPTIONS) --wheel-dir build/wheel .
	$(REPAIR) --wheel-dir dist build/wheel/*.whl
	touch $@

sdist: $(STAMPS)/backend $(STAMPS)/wheel
	$(BIN)/python -m build --sdist --no-isolation --skip-dependency-check --outdir dist

# The minor versions of TensorFlow that there are for this Python; each has a dependency group.
PYTHON_VERSION := $(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])")
MINORS ?= $(if $(filter 3.13,$(PYTHON_VERSION)),,2.18 2.19) 2.20 2.21
MINORS_FOLDER := build/minors/$(PYTHON_VERSION)
MINORS_WHEEL := tf_mavg-*-cp$(subst .,,$(PYTHON_VERSION))-*.whl

wheels: dist/minors/$(PYTHON_VERSION).stamp

# GPU images are those of the installed package: compiling them takes minutes.
dist/minors/$(PYTHON_VERSION).stamp: $(MINORS:%=$(MINORS_FOLDER)/%/stamp) \
  $(MINORS_FOLDER)/backend/stamp $(STAMPS)/package $(STAMPS)/wheel
	rm -rf $(MINORS_FOLDER)/wheel dist/minors/$(MINORS_WHEEL)
	$(MINORS_FOLDER)/backend/venv/bin/pip wheel --verbose $(WHEEL_OPTIONS) \
	  --wheel-dir $(MINORS_FOLDER)/wheel \
	  --config-settings=build-dir="build/minors/{wheel_tag}" \
	  --config-settings=cmake.define.TF_MAVG_ENVIRONMENTS=build/minors \
	  --config-settings=cmake.define.TF_MAVG_GPU_IMAGES="$$(ls -d build/cp*/gpu_images)" .
	$(MAKE) repaired WHEEL="$$(ls $(MINORS_FOLDER)/wheel/*.whl)" INTO=dist/minors
	ls -l dist/minors
	touch $@

# The steps of it that containers run, too: see [tool.cibuildwheel] in pyproject.toml.
environments: $(MINORS:%=$(MINORS_FOLDER)/%/stamp)

gpu-images: $(STAMPS)/backend
	$(BIN)/cmake -S . -B build/images -G Ninja -DTF_MAVG_TENSORFLOW=OFF \
	  -DPython_EXECUTABLE="$(CURDIR)/$(BIN)/python" -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(BIN)/ninja"
	$(BIN)/cmake --build build/images --target tf_mavg_gpu_images

repaired:
	$(REPAIR) --wheel-dir $(INTO) $(WHEEL)

$(MINORS_FOLDER)/backend/stamp: GROUP := backend
$(MINORS:%=$(MINORS_FOLDER)/%/stamp): GROUP = tensorflow-$*
$(MINORS_FOLDER)/%/stamp: pyproject.toml $(STAMPS)/venv
	$(PYTHON) -m venv $(MINORS_FOLDER)/$*/venv
	$(BIN)/pip --python $(MINORS_FOLDER)/$*/venv/bin/python install --disable-pip-version-check \
	  --group $(GROUP)
	touch $@

# Without dependencies: TensorFlow is there, whatever the name of its distribution.
$(MINORS_FOLDER)/%/testing: $(MINORS_FOLDER)/%/stamp
	$(BIN)/pip --python $(MINORS_FOLDER)/$*/venv/bin/python install --quiet --group testing
	$(BIN)/pip --python $(MINORS_FOLDER)/$*/venv/bin/python install --quiet --no-deps "tf_keras==$*.*"
	touch $@

# The short form of it: the installed package with ops for the oldest version alone, without XLA.
OLDEST := $(firstword $(MINORS))
OLDEST_TESTS := tests/averages/test_optimizer.py tests/compat tests/files/test_saver.py \
  tests/keras/files/test_saving.py tests/ops/test_apply_moving_average.py tests/ops/test_swap_variables.py
test-oldest: $(STAMPS)/package $(MINORS_FOLDER)/$(OLDEST)/testing
	$(BIN)/cmake -S . -B build/oldest -G Ninja -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(BIN)/ninja" \
	  -DPython_EXECUTABLE="$(CURDIR)/$(BIN)/python" -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
	  -DTF_MAVG_TENSORFLOW_PYTHONS="$(CURDIR)/$(MINORS_FOLDER)/$(OLDEST)/venv/bin/python" \
	  -DTF_MAVG_GPU_IMAGES="$$(ls -d build/cp*/gpu_images)" -DTF_MAVG_XLA=OFF -DTF_MAVG_UNITY=ON
	$(BIN)/cmake --build build/oldest --target tf_mavg_ops_$(OLDEST)
	rm -rf build/oldest/package && mkdir build/oldest/package
	cp -r $(VENV)/lib/python*/site-packages/tf_mavg* build/oldest/package
	rm -r build/oldest/package/tf_mavg/_tf*
	cp -r build/oldest/tf_mavg build/oldest/package
	PYTHONPATH=build/oldest/package $(MINORS_FOLDER)/$(OLDEST)/venv/bin/pytest $(PYTEST_WORKERS) \
	  -m "not long and not slow" $(MINOR_WARNINGS) $(OLDEST_TESTS)

# WHEELS names a folder of wheels that others have built, to test them instead.
test-minors: $(MINORS:%=test-minor-%)

test-minor-%: $(MINORS_FOLDER)/%/testing $(if $(WHEELS),,dist/minors/$(PYTHON_VERSION).stamp)
	$(BIN)/pip --python $(MINORS_FOLDER)/$*/venv/bin/python install --quiet --no-deps \
	  --force-reinstall $(or $(WHEELS),dist/minors)/$(MINORS_WHEEL)
	$(MINORS_FOLDER)/$*/venv/bin/pytest $(PYTEST_WORKERS) $(MINOR_WARNINGS) $(MINOR_TESTS) \
	  $(PYTEST_ARGS)

# Compares the kernels with the reference on an emulated aarch64. Needs root, Python 3.11, and Debian's
# debootstrap, g++-aarch64-linux-gnu and qemu-user-static.
AARCH64 := build/aarch64
check-aarch64: $(AARCH64)/stamp
	$(BIN)/cmake -S . -B $(AARCH64)/build -G Ninja --toolchain cmake/Aarch64.cmake \
	  -DPython_EXECUTABLE="$(CURDIR)/$(BIN)/python" -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(BIN)/ninja" \
	  -DTF_MAVG_TENSORFLOW=OFF -DTF_MAVG_GPU=OFF -DTF_MAVG_WERROR=ON \
	  -DCMAKE_INSTALL_PREFIX=$(AARCH64)/below
	$(BIN)/cmake --build $(AARCH64)/build --target install
	PYTHONHOME=$(AARCH64)/root/usr PYTHONPATH=$(AARCH64)/below:$(AARCH64)/packages \
	  qemu-aarch64-static -L $(AARCH64)/root $(AARCH64)/root/usr/bin/python3.11 -P -m tf_mavg_cli check

$(AARCH64)/stamp: $(STAMPS)/backend
	rm -rf $(AARCH64) && mkdir -p $(AARCH64)
	debootstrap --foreign --arch=arm64 --variant=minbase --include=libpython3.11-dev,python3.11 \
	  bookworm $(AARCH64)/root
	for package in $(AARCH64)/root/var/cache/apt/archives/*.deb; do \
	  dpkg-deb --extract $$package $(AARCH64)/root; done
	$(BIN)/pip install --quiet --target $(AARCH64)/packages --only-binary=:all: \
	  --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
	  --platform manylinux2014_aarch64 --python-version 3.11 numpy click ml_dtypes
	touch $@

# All wheels of a processor, in containers: needs Docker.
release: $(STAMPS)/release
	$(BIN)/cibuildwheel --output-dir dist/release

# Sources below TensorFlow, the images that this build has compiled, and the script that uses both.
GPU_KIT := CMakeLists.txt README.md cc/core cc/python cmake cuda pyproject.toml tests/gpu \
  tests/gpu_emulator tests/helpers tf_mavg_check tf_mavg_cli tools/gpu_proof

gpu-kit: $(STAMPS)/package
	rm -rf build/gpu_kit && mkdir -p build/gpu_kit dist
	git ls-files -z $(GPU_KIT) | tar --create --null --files-from=- | tar -x -C build/gpu_kit
	cp -r $$(ls -d build/cp*/gpu_images) build/gpu_kit/images
	tar --create --gzip --file=dist/gpu_kit.tar.gz -C build gpu_kit
	ls -l dist/gpu_kit.tar.gz

clean:
	rm -rf $(VENV) build dist out

$(STAMPS)/venv:
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) pip==$(PIP_VERSION)
	mkdir -p $(STAMPS) && touch $@

# One stamp a dependency group of pyproject.toml.
$(STAMPS)/build $(STAMPS)/backend $(STAMPS)/demo $(STAMPS)/test $(STAMPS)/lint $(STAMPS)/wheel \
$(STAMPS)/release $(STAMPS)/bench $(STAMPS)/docs $(STAMPS)/docs-test: \
  $(STAMPS)/%: pyproject.toml $(STAMPS)/venv
	$(INSTALL) --group $*
	touch $@

$(STAMPS)/package: $(SOURCES) $(STAMPS)/build
	$(INSTALL) --no-build-isolation --no-deps --config-settings=cmake.define.TF_MAVG_WERROR=ON .
	touch $@
