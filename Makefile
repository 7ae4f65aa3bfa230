# `make test` is all that CI runs; `make demo` shows the thing at work. Both do their own set-up and need root.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: demo test test-long bench bench-journal packages install lint lint-packages setup clean-hosts

export CARGO_TARGET_DIR := $(CURDIR)/target
PREFIX_STAGE := target/stage
PACKAGES := target/packages
# What is installed, in one build, so that a library has the same features in every program.
INSTALLED := -p jit-agent -p jit-link -p pam_jit -p sudo_jit -p jitctl -p jit-issuer
# The same source gives the same bytes wherever it lies.
SAME_PATHS = --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=/cargo --remap-path-prefix=$(CURDIR)=/jit
PHASE := scripts/phase

# Builds, boots a disposable Debian, installs, elevates, and shows every step until the log is verified.
demo: setup
	$(MAKE) --no-print-directory packages
	cargo run --quiet --locked -p jit-tests --bin demo

# Everything, each phase with its time. The hosts of the last phase install the packages of the one before.
test:
	$(PHASE) "set-up" scripts/setup-host
	$(PHASE) "lint" $(MAKE) --no-print-directory lint
	$(PHASE) "tests without root" cargo test --locked --no-fail-fast --workspace
	$(PHASE) "tests of the journal that need root" cargo test --locked -p journal --features root-tests --lib root::
	$(PHASE) "exports before a judge in Go" cargo test --locked -p journal --features go-tests --lib judges::go::
	$(PHASE) "the issuer before a judge and a provider" cargo test --locked -p jit-issuer --features judge-tests --test contract --test login
	$(PHASE) "packages" $(MAKE) --no-print-directory packages
	$(PHASE) "lint of the packages" $(MAKE) --no-print-directory lint-packages
	$(PHASE) "tests on booted hosts" scripts/test-hosts

# Hours: each fault of each system call, kills by the thousand, receivers that come and go. JIT_SEED repeats a run.
test-long: setup
	$(PHASE) "packages" $(MAKE) --no-print-directory packages
	$(PHASE) "every fault" env JIT_FAULT_ROUNDS=$${JIT_FAULT_ROUNDS:-100000} cargo test --locked -p jit-tests --features e2e --test inject -- --nocapture
	$(PHASE) "kills of a writer" env JIT_KILL_ROUNDS=$${JIT_KILL_ROUNDS:-1000} cargo test --locked -p journal --lib kill:: -- --nocapture
	$(PHASE) "kills" env JIT_KILL_ROUNDS=$${JIT_KILL_ROUNDS:-2500} cargo test --locked -p jit-tests --features e2e --test kills -- --nocapture
	$(PHASE) "receivers" env JIT_SIEM_ROUNDS=$${JIT_SIEM_ROUNDS:-1000} cargo test --locked -p jit-tests --features e2e --test siem
	$(PHASE) "power cuts" env JIT_POWER_CUTS=$${JIT_POWER_CUTS:-20} cargo test --locked -p jit-tests --features e2e --test power
	$(PHASE) "an hour without a false alarm" env JIT_SOAK_S=$${JIT_SOAK_S:-3600} cargo test --locked -p jit-tests --features e2e --test soak -- --nocapture

# What it costs, on booted hosts, beside what people would use instead; see docs/performance.md. About a quarter of an
# hour, or four minutes with JIT_BENCH_QUICK=1. Figures are only as good as the machine is quiet.
bench: setup
	$(MAKE) --no-print-directory packages
	cargo bench --quiet --locked -p jit-tests --features e2e --bench host

# The journal beside what the disk can do.
bench-journal: setup
	cargo bench --quiet --locked -p jit-tests --bench journal --no-run
	$$(chrt -f 10 true 2>/dev/null && echo chrt -f 10) cargo bench --quiet --locked -p jit-tests --bench journal

# target/packages/*.deb and *.rpm, of one staging tree.
packages:
	@scripts/setup-host build
	rm -rf $(PREFIX_STAGE)
	$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(PREFIX_STAGE)
	scripts/build-debs $(PREFIX_STAGE) $(PACKAGES)
	scripts/build-rpms $(PREFIX_STAGE) $(PACKAGES)

# Lays all files below DESTDIR. Changes nothing outside it; the packages' scripts make users and folders.
install:
	@test -n "$(DESTDIR)" || { echo "give DESTDIR=, a folder to lay the files in" >&2; exit 2; }
	RUSTFLAGS="$$RUSTFLAGS $(SAME_PATHS)" cargo build --release --locked $(INSTALLED) --features jitctl/docs
	scripts/stage target/release "$(DESTDIR)"

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --features jit-tests/e2e,jitctl/docs,journal/root-tests,journal/go-tests,jit-issuer/judge-tests -- -D warnings
	grep -rlE '^#! ?/bin/(ba)?sh' scripts .ci tests/hosts tests/attacks packaging | xargs shellcheck

# What Debian's and Red Hat's own checkers say; each exception has its reason beside it. Same tree, same bytes.
lint-packages:
	lintian --allow-root --fail-on error,warning $(PACKAGES)/*.deb
	rpmlint --strict -c packaging/rpm/rpmlint.toml $(PACKAGES)/*.rpm
	scripts/lint-programs $(PACKAGES)
	apparmor_parser --quiet --skip-kernel-load --skip-cache packaging/apparmor/*
	judges=$$(scripts/judges) && "$$judges/bin/python" scripts/lint-sboms $(PREFIX_STAGE) && \
		PATH="$$judges/bin:$$PATH" ansible-lint --offline --profile production packaging/ansible packaging/ci/ansible
	scripts/build-debs $(PREFIX_STAGE) target/again >/dev/null
	scripts/build-rpms $(PREFIX_STAGE) target/again >/dev/null
	diff -r $(PACKAGES) target/again

setup:
	@scripts/setup-host

# Ends and removes test hosts that a killed run left. Test runs do it at their start, too.
clean-hosts:
	cargo run --quiet --locked -p jit-tests --bin reap-hosts
