package keyring

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/access"
)

// crowd adds n keys that are not written, because a hundred thousand transactions
// take minutes.
func crowd(b *testing.B, k *Keyring, n int) {
	b.Helper()
	r := &ring{byID: map[string]*entry{}}
	for id, e := range k.keys.Load().byID {
		r.byID[id] = e
	}
	for len(r.byID) < n {
		_, s := newSecret()
		e, err := newEntry(&record{Key: Key{ID: random(idBytes), Spec: Spec{Name: "n", Rights: access.Read}}, Secrets: []secret{s}}, nil)
		if err != nil {
			b.Fatal(err)
		}
		r.byID[e.record.ID] = e
	}
	k.publish(r)
}

// BenchmarkLookup is what authentication costs every request: at most 2 µs.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 1000, MaxKeys} {
		k, _ := openFile(b, filepath.Join(b.TempDir(), "state.db"))
		_, whole := create(b, k, Spec{Rights: access.Admin}, start)
		crowd(b, k, n)
		id, secret, _ := Split(whole)
		for _, c := range []struct{ name, id, secret string }{
			{"hit", id, secret},
			{"miss", strings.Repeat("a", 16), secret},
			{"wrong", id, strings.Repeat("a", 52)},
		} {
			b.Run(fmt.Sprintf("%s/keys=%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := k.Lookup(c.id, c.secret, start); (err == nil) != (c.name == "hit") {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("parallel/keys=%d", n), func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := k.Lookup(id, secret, start); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
