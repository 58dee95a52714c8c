# make demo: watch a cloud die.  make test: everything that can be tested here.
# Both need Go and nothing else; test-deps adds the peers that some tests use.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LINT    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
RACE    := $(shell $(GO) env CGO_ENABLED | grep -q 1 && command -v $$($(GO) env CC | cut -d' ' -f1) >/dev/null 2>&1 && echo -race)
FUZZTIME ?= 30s

.PHONY: demo build test test-deps lint fuzz bench bench-failover bench-edge bench-estate bench-deps nightly-deps nightly clean

demo: build
	./bin/spare demo $(DEMO)

build:
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/spare ./cmd/spare

test:
	$(GO) test $(RACE) -timeout 20m $$($(GO) list ./... | grep -v /tests/)
	$(GO) test -timeout 20m -run Histories ./internal/blob/replica # all its schedules, which the race detector has no time for
	$(GO) test -timeout 20m ./tests/...

# Peers: nginx and HAProxy as other people's servers, versitygw as an S3
# provider, and the programs that people use with S3. Where packages cannot be
# installed, the tests that need a peer skip and say so.
PEER_COMMANDS := nginx haproxy python3 aws rclone restic
PEER_PACKAGES := nginx-light haproxy python3 awscli python3-boto3 rclone restic
VERSITYGW := bin/peers/versitygw
VERSITYGW_VERSION := v1.8.0

test-deps: $(VERSITYGW)
	@missing=; for c in $(PEER_COMMANDS); do command -v $$c >/dev/null 2>&1 || missing=1; done; \
	{ python3 -c 'import boto3' || /usr/bin/python3 -c 'import boto3'; } 2>/dev/null || missing=1; \
	if [ "$$missing" ]; then \
	  if command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PEER_PACKAGES); \
	  else echo "install $(PEER_PACKAGES) to run every test"; fi; fi

$(VERSITYGW):
	GOBIN=$(CURDIR)/bin/peers $(GO) install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)

lint:
	@mkdir -p bin
	@[ -x bin/golangci-lint ] && bin/golangci-lint version 2>/dev/null | grep -q 2.15.0 || GOBIN=$(CURDIR)/bin $(GO) install $(LINT)
	bin/golangci-lint run ./...

# Each fuzz target in turn.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep ^Fuzz || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; done; done

bench:
	$(GO) test -run '^$$' -bench . -benchmem $$($(GO) list ./... | grep -v /tests/)

# Beside the peers, on a machine that does nothing else: docs/benchmarks.md.
# BENCH passes flags, for example BENCH='-short -fault SIGSTOP -v'.
CADDY := bin/peers/caddy
PEERS := -spare bin/spare -caddy $(CADDY)

bench-failover: build bench-deps
	$(GO) build -o bin/bench-failover ./bench/failover
	bin/bench-failover $(PEERS) $(BENCH)

bench-edge: build bench-deps
	$(GO) build -o bin/bench-edge ./bench/edge
	bin/bench-edge $(PEERS) $(BENCH)

bench-estate: build
	$(GO) build -o bin/bench-estate ./bench/estate
	bin/bench-estate -spare bin/spare $(BENCH)

bench-deps: test-deps $(CADDY)
	@if ! { command -v wrk && command -v iptables && command -v ip; } >/dev/null 2>&1; then \
	  if command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends wrk iptables iproute2; \
	  else echo "install wrk, iptables and iproute2 for every row"; fi; fi

$(CADDY):
	GOBIN=$(CURDIR)/bin/peers $(GO) install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9

nightly-deps: test-deps
	GOBIN=$(CURDIR)/bin/peers $(GO) install github.com/rclone/rclone@v1.75.1
	GOBIN=$(CURDIR)/bin/peers $(GO) install github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c

nightly: nightly-deps
	SPARE_NIGHTLY=1 $(GO) test $(RACE) -count=3 -timeout 2h ./...
	$(MAKE) fuzz FUZZTIME=5m

clean:
	rm -rf bin
