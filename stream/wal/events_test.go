package wal

import (
	"fmt"
	"math/rand/v2"

	"github.com/daybook-log/daybook/stream"
)

// eventGen makes canonical events of about 410 bytes as a real service's audit
// log has them: random identities, a few hundred users, a few dozen actions.
type eventGen struct{ rng *rand.Rand }

func newEventGen(seed uint64) *eventGen { return &eventGen{rand.New(rand.NewPCG(seed, 1))} }

func (g *eventGen) append(dst []byte) []byte {
	actions := [...]string{"document.read", "document.update", "document.delete", "user.login", "user.logout",
		"invoice.create", "invoice.approve", "role.assign", "key.create", "key.revoke", "report.export", "project.update"}
	operations := [...]string{"read", "update", "delete", "login", "other", "create", "update", "update", "create", "delete", "read", "update"}
	outcomes := [...]string{"success", "success", "success", "success", "success", "success", "denied", "failure"}
	a := g.rng.IntN(len(actions))
	return fmt.Appendf(dst, `{"action":%q,"event_id":"0198c3f2-%04x-7%03x-%04x-%012x","metadata":{"bytes":%d,"duration_ms":%d},"operation":%q,"outcome":%q,"request_id":"req-%016x","resource":"document/%d","session_id":"s-%012x","source":"billing-api","source_ip":"10.%d.%d.%d","tenant_id":"tenant-%d","timestamp":"2026-11-03T09:%02d:%02d.%06dZ","user_id":"user-%d","user_type":"user"}`,
		actions[a], g.rng.IntN(1<<16), g.rng.IntN(1<<12), g.rng.IntN(1<<16), g.rng.Int64N(1<<48),
		g.rng.IntN(100_000), g.rng.IntN(900), operations[a], outcomes[g.rng.IntN(len(outcomes))],
		g.rng.Uint64(), g.rng.IntN(1_000_000), g.rng.Int64N(1<<48), g.rng.IntN(4), g.rng.IntN(256), g.rng.IntN(256),
		g.rng.IntN(20), g.rng.IntN(60), g.rng.IntN(60), g.rng.IntN(1_000_000), g.rng.IntN(5000))
}

// batch returns a batch of n events.
func (g *eventGen) batch(n int) *stream.Batch {
	b := &stream.Batch{}
	for range n {
		b.Data = g.append(b.Data)
		b.Ends = append(b.Ends, uint32(len(b.Data)))
	}
	return b
}
