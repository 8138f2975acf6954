# What a contributor and CI run. `make test` is everything that must pass;
# `make torture` kills and floods a server for as long as it is told to, and
# `make soak` loads one and wants it to stay as it was.

GO          ?= go
STATICCHECK ?= $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOSEC       ?= $(GO) run github.com/securego/gosec/v2/cmd/gosec@v2.30.0
GOVULNCHECK ?= $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0
PLATFORMS   := linux/amd64 linux/arm64 darwin/arm64 windows/amd64
ROUNDS      ?= 200
SEEDS       ?= 1000000
FUZZTIME    ?= 10m
DURATION    ?= 1h
RATE        ?= 5000
CSV         ?=
EVENTS      ?= 1M
TURNS       ?= 3
VICTORIALOGS ?=
TO          ?= screenshots

export CGO_ENABLED ?= 0

.PHONY: build test lint unit cross vuln gosec bench compare torture kills simulate bitrot exact outages soak screenshots fuzz clean

build: ## the binary, ./daybook
	$(GO) build -trimpath -o daybook ./cmd/daybook

test: lint cross vuln unit ## everything that must pass

lint:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt these files:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(STATICCHECK) ./...

# The race detector needs cgo; nothing else does. It makes the simulation thirty
# times as slow, so that most of its seeds run without.
unit:
	CGO_ENABLED=1 $(GO) test -race -timeout 30m ./...
	$(GO) test -count=1 -timeout 30m -v -run 'Pipeline|EveryOperation' ./internal/sim -sim.seeds 3000

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

# CONTRIBUTING.md says why these rules are off.
gosec: ## a linter for holes
	$(GOSEC) -quiet -exclude-generated -exclude=G103,G104,G115,G117,G118,G124,G204,G302,G304,G404,G407,G602,G703 -exclude-dir=bench -exclude-dir=internal/kafkatest -exclude-dir=internal/tooltest -exclude-dir=access/oidc/oidctest -exclude-dir=store/parquet/parquettest ./...

bench: build ## what docs/performance.md quotes
	./daybook bench

compare: build ## beside other programs: make compare VICTORIALOGS=/path/to/victoria-logs
	$(GO) run ./bench $(if $(VICTORIALOGS),--victorialogs $(VICTORIALOGS)) --events $(EVENTS) --rounds $(TURNS)

# The seed of a run is in its first line; with TORTURE_SEED=… its choices come again.
torture: kills simulate ## all that can go wrong with the program, and then with a simulated disk

kills: ## misfortunes of the real program, as root for all of them: make kills ROUNDS=1000
	CGO_ENABLED=0 TORTURE_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 0 -v -run 'Torture' ./cmd/daybook

simulate: ## the pipeline on a simulated disk, in virtual time: make simulate SEEDS=1000000
	$(GO) test -count=1 -timeout 0 -v -run 'Pipeline' ./internal/sim -sim.seeds $(SEEDS)

bitrot: ## every byte of a log, a segment and a data folder flipped, in place of a sample of them
	BITROT=all $(GO) test -count=1 -timeout 0 -v -run 'TestBitRot|TestLostEnd|TestLostFiles' ./stream/wal ./store/segment ./cmd/daybook

exact: ## tails, pages and exports against the log under load: make exact ROUNDS=1000
	$(GO) test -count=1 -timeout 0 -v -run 'TestExact$$' ./query -exact.seeds $(ROUNDS)

outages: ## brokers of a real Kafka cluster killed and frozen: make outages ROUNDS=20
	KAFKA_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 0 -v -run 'Faults' ./stream/kafka
	CLUSTER_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 0 -v -run 'TestCluster' ./cmd/daybook

soak: ## mixed load, at the end of which nothing may have grown: make soak DURATION=1h RATE=5000 CSV=samples.csv
	CGO_ENABLED=0 SOAK_DURATION=$(DURATION) SOAK_RATE=$(RATE) SOAK_CSV=$(abspath $(CSV)) $(GO) test -count=1 -timeout 0 -v -run 'Soak' ./cmd/daybook

screenshots: ## every view of the page, light and dark, at three widths: make screenshots TO=/tmp/pictures
	$(GO) test -count=1 -timeout 30m -run 'Screenshots' ./ui/browsertest -screenshots $(abspath $(TO))

fuzz: ## every fuzz target in turn: make fuzz FUZZTIME=10m
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x $$pkg || exit 1; \
		done; \
	done

clean:
	rm -rf daybook dist
