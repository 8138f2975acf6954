# What a contributor and CI run. `make test` is everything that must pass;
# `make torture` kills and floods a server for as long as it is told to.

GO          ?= go
STATICCHECK ?= $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK ?= $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0
PLATFORMS   := linux/amd64 linux/arm64 darwin/arm64 windows/amd64
ROUNDS      ?= 200
FUZZTIME    ?= 10m

export CGO_ENABLED ?= 0

.PHONY: build test lint unit cross vuln bench torture fuzz clean

build: ## the binary, ./daybook
	$(GO) build -trimpath -o daybook ./cmd/daybook

test: lint cross vuln unit ## everything that must pass

lint:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt these files:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(STATICCHECK) ./...

# The race detector needs cgo; nothing else does.
unit:
	CGO_ENABLED=1 $(GO) test -race -timeout 30m ./...

cross: ## builds without cgo for every platform we name
	@for p in $(PLATFORMS); do \
		echo "build $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) build ./... || exit 1; \
	done

# The vulnerability database may be out of reach; a finding fails, silence does not.
vuln:
	@out=$$($(GOVULNCHECK) ./... 2>&1); code=$$?; echo "$$out"; \
	if [ $$code -ne 0 ] && echo "$$out" | grep -qE 'fetching vulnerabilities|dial tcp|no such host|connection refused|i/o timeout|Forbidden|403'; then \
		echo "WARNING: govulncheck could not reach its database; nothing was checked"; exit 0; \
	fi; exit $$code

bench: build ## what docs/performance.md quotes
	./daybook bench

torture: ## crash tests with many rounds: make torture ROUNDS=1000
	CGO_ENABLED=0 TORTURE_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 0 -v -run 'Torture' ./cmd/daybook

fuzz: ## every fuzz target in turn: make fuzz FUZZTIME=10m
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

clean:
	rm -rf daybook dist
