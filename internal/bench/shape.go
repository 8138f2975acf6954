// Package bench measures a running server from the outside, over HTTP, with
// events shaped like a real service's. What it prints, anyone can print again
// with `daybook bench`.
package bench

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/daybook-log/daybook/event"
)

// Shape says what the generated events look like; the report repeats it, since
// every figure depends on it.
const Shape = "13 fields, about 410 bytes of JSON: UUIDv7 event_id, µs timestamp, 10,000 users (Zipf, s=1.1), 40 actions (Zipf), " +
	"100,000 resources, 50 tenants, 8 sources, an address per user, a random 64-bit request_id, " +
	"1 label, metadata of 3 values in 2 levels"

const (
	users     = 10_000
	resources = 100_000
	tenants   = 50
)

var (
	nouns   = []string{"document", "invoice", "project", "member", "api_key", "webhook", "report", "folder", "role", "session"}
	verbs   = []struct{ verb, operation string }{{"read", "read"}, {"update", "update"}, {"create", "create"}, {"delete", "delete"}}
	sources = []string{"billing-api", "web-backend", "mobile-gateway", "auth-service", "admin-console", "search-api", "export-job", "scheduler"}
	regions = []string{"eu-west-1", "eu-central-1", "us-east-1", "us-west-2", "ap-south-1"}
	methods = []string{"GET", "PUT", "POST", "DELETE"}
)

// Generator makes events. Generators of different seeds make different ones.
// It is used by one goroutine.
type Generator struct {
	rnd       *rand.Rand
	randomIDs bool
	users     *zipf
	action    *zipf
	last      int64 // the millisecond of the last identity
	count     uint16
}

// NewGenerator returns a generator. With randomIDs the identities are UUIDv4,
// which do not rise with time.
func NewGenerator(seed uint64, randomIDs bool) *Generator {
	rnd := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	return &Generator{rnd: rnd, randomIDs: randomIDs, users: newZipf(users, 1.1), action: newZipf(len(nouns)*len(verbs), 1.0)}
}

// id makes an identity without asking the system for randomness: the load
// generator shares the machine with what it measures.
func (g *Generator) id(now time.Time) event.ID {
	var id event.ID
	if g.randomIDs {
		binary.BigEndian.PutUint64(id[:8], g.rnd.Uint64())
		binary.BigEndian.PutUint64(id[8:], g.rnd.Uint64())
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		return id
	}
	if ms := now.UnixMilli(); ms > g.last {
		g.last, g.count = ms, 0
	}
	g.count++
	binary.BigEndian.PutUint64(id[:8], uint64(g.last)<<16|0x7000|uint64(g.count&0xfff))
	binary.BigEndian.PutUint64(id[8:], g.rnd.Uint64())
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Append appends one event that happens at now, with a line end, and returns
// its identity.
func (g *Generator) Append(dst []byte, now time.Time) ([]byte, event.ID) {
	id := g.id(now)
	user := g.users.draw(g.rnd)
	act := g.action.draw(g.rnd)
	noun, verb := nouns[act%len(nouns)], verbs[act/len(nouns)]
	r := g.rnd.Uint64()

	dst = id.Append(append(dst, `{"event_id":"`...))
	dst = now.UTC().AppendFormat(append(dst, `","timestamp":"`...), "2006-01-02T15:04:05.000000Z")
	dst = strconv.AppendInt(append(dst, `","user_id":"user-`...), int64(user), 10)
	dst = append(append(append(append(append(dst, `","action":"`...), noun...), '.'), verb.verb...), `","resource":"`...)
	dst = strconv.AppendUint(append(append(dst, noun...), '/'), r%resources, 10)
	dst = strconv.AppendInt(append(dst, `","tenant_id":"tenant-`...), int64(user%tenants), 10)
	dst = append(append(dst, `","outcome":"`...), outcome(r>>20)...)
	dst = append(append(append(dst, `","operation":"`...), verb.operation...), `","source":"`...)
	dst = append(dst, sources[act%len(sources)]...)
	dst = strconv.AppendInt(append(dst, `","source_ip":"10.`...), int64(user>>8&0xff), 10)
	dst = strconv.AppendInt(append(dst, '.'), int64(user&0xff), 10)
	dst = strconv.AppendInt(append(dst, '.'), int64(user%250+1), 10)
	var req [16]byte
	hex.Encode(req[:], binary.BigEndian.AppendUint64(nil, g.rnd.Uint64()))
	dst = append(append(dst, `","request_id":"`...), req[:]...)
	dst = append(append(dst, `","labels":{"region":"`...), regions[user%len(regions)]...)
	dst = append(append(dst, `"},"metadata":{"http":{"method":"`...), methods[act%len(methods)]...)
	dst = append(dst, `","status":`...)
	dst = strconv.AppendInt(dst, 200+int64(r>>34&1)*4, 10)
	dst = strconv.AppendUint(append(dst, `},"duration_ms":`...), 1+r>>40%200, 10)
	return append(dst, "}}\n"...), id
}

// outcome draws 94 % success, 4 % failure, 2 % denied.
func outcome(r uint64) string {
	switch p := r % 100; {
	case p < 94:
		return "success"
	case p < 98:
		return "failure"
	}
	return "denied"
}

// zipf draws small numbers more often than large ones, by a table: math/rand's
// own takes several logarithms a draw.
type zipf struct{ table []uint32 }

func newZipf(n int, s float64) *zipf {
	const slots = 1 << 16
	weights, total := make([]float64, n), 0.0
	for i := range weights {
		weights[i] = 1 / math.Pow(float64(i+1), s)
		total += weights[i]
	}
	z := &zipf{table: make([]uint32, slots)}
	sum, at := 0.0, 0
	for i, w := range weights {
		sum += w
		for at < slots && float64(at) < sum/total*slots {
			z.table[at] = uint32(i)
			at++
		}
	}
	return z
}

func (z *zipf) draw(r *rand.Rand) int { return int(z.table[r.Uint32()>>16]) }

// User returns the user_id of the user with this rank; rank 0 is the busiest.
func User(rank int) string { return fmt.Sprintf("user-%d", rank) }
