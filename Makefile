# Every target says in one line what it does; `make` alone prints them.

.DEFAULT_GOAL := help
BUILT := $(or $(CARGO_TARGET_DIR),target)/debug
.PHONY: help run demo test test-quick acceptance fuzz bench bench-feed faults drill demo-feed cluster fmt lint lint-deploy clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Build and run the server with its demo organization and the shop, until Ctrl-C
	@scripts/run.sh

demo: ## Tell the whole story by itself: every grant, the shop, a revocation at ten guards; each step with its time
	@scripts/demo.sh

test: ## Everything: installs what it lacks, starts what it needs, cleans up
	@scripts/test.sh

test-quick: ## The tests that need nothing but the toolchain
	cargo test --locked --workspace

cluster: ## Three servers over PostgreSQL and Redis behind one address, until Ctrl-C; CHECK=1 tries them and ends
	@scripts/cluster.sh

acceptance: ## The vendor's published JavaScript clients, unmodified, over TLS (needs Node 20 and npm)
	@scripts/acceptance.sh

fuzz: ## Show altered frames and tokens to the guard, each target for SECONDS (60 unless said)
	PORTCULLIS_FUZZ_SECONDS=$(or $(SECONDS),60) cargo test --locked -p portcullis-guard --all-features --test fuzz

bench: ## What issuing, checking and refusing cost on this machine
	cargo run --locked --release -p portcullis-bench

# What this machine lacks and does not get is named at the end, with the faults that could not be tried.
faults: ## Break servers, databases, links, clocks and guards, and judge what they did (about ten minutes)
	-@scripts/needs.sh faults
	cargo build --locked --workspace --bins
	$(BUILT)/faults run --all

drill: ## Lose Redis, a server and the database, restore a backup, and print what each step took (a minute)
	cargo build --locked --workspace --bins
	$(BUILT)/drill

demo-feed: ## Ten guards, one revocation, each guard's milliseconds; then the feed is cut and they close
	cargo build --locked --workspace --bins
	$(BUILT)/ten-guards

# A thousand guards hold two connections each, and a server the other ends.
bench-feed: ## How fast a revocation reaches 1 to 1,000 guards, and what a million records cost
	ulimit -n 16384 && cargo run --locked --release -p portcullis-bench -- feed

fmt: ## Format the code
	cargo fmt --all

lint: ## Check format and lints, as continuous integration does
	cargo fmt --all -- --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

lint-deploy: ## Have Helm judge the chart; builds Helm with Go where it is not installed
	@scripts/lint-deploy.sh

clean: ## Remove what was built, the demo's data and the downloaded clients
	cargo clean
	rm -rf run tests/acceptance/node_modules
