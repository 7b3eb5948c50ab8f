# make run     build and start the devnet; prints the address, a demo key and a curl line
# make test    everything that must be green; prints the minutes of each stage
# make bench   the speed of the request path against nginx and plain Pingora, all built as for a release
# make lint    formatting, clippy and the direction of dependencies
# make fmt     formats the Rust code
# make docs    makes the reference of the configuration anew, page and schema, from the types
# make dist    the release binary, optimised across crates

# `make run PROFILE=release` runs an optimised build.
PROFILE ?= dev
CONFIG ?= conf/dev.toml

.DEFAULT_GOAL := help
.PHONY: help run test test-unit test-e2e bench lint fmt docs dist

help:
	@sed -n 's/^# \(make .*\)/\1/p' $(firstword $(MAKEFILE_LIST))

run:
	@scripts/system.sh build
	@cargo build --locked --profile $(PROFILE) --package btvep-server
	@exec target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/btvep start --config $(CONFIG)

test:
	@scripts/test.sh

# Arguments for one area: `make test-unit ARGS="-p btvep-protocol"`, `make test-e2e ARGS="-k stream"`.
test-unit:
	@scripts/system.sh build
	@cargo test --locked $(if $(ARGS),$(ARGS),--workspace)

test-e2e:
	@scripts/system.sh build
	@scripts/peers.sh
	@cargo build --locked --package btvep-server
	@target/peers/client/bin/python -m pytest tests $(ARGS)

bench:
	@scripts/system.sh build bench
	@cargo build --locked --profile dist --package btvep-server --package btvep-benches
	@cargo run --locked --profile dist --quiet --package btvep-benches -- $(ARGS)

lint:
	@scripts/lint.sh

fmt:
	@cargo fmt --all

docs:
	@cargo build --locked --package btvep-server
	@target/debug/btvep config schema > conf/schema.json
	@target/debug/btvep config reference > docs/reference/config.md

dist:
	@scripts/system.sh build
	@cargo build --locked --profile dist --package btvep-server
