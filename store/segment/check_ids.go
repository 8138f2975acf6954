package segment

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/parquet"
)

const (
	// window is how long, at least, the same identity means the same event.
	window = 7 * 24 * time.Hour

	// idsPerPass is about how many IDs are compared at a time, and sampleEvery
	// how many events go to one of the sample that says which.
	idsPerPass  = 2 << 20
	sampleEvery = 512
)

// place is where an ID was met.
type place struct {
	id      event.ID
	segment uint32
	row     uint32
}

// claim is a place whose ID was met in another place, too, with what tells
// whether the two are one event.
type claim struct {
	place
	tenant   int // by the number that judge gave its name
	received int64
}

// identities verifies that no two events of m's segments have the same identity
// and were received within window of each other. Their IDs are compared range by
// range, each about idsPerPass long, for which only those segments are read that may
// have one in it; tenant and time, where one is there twice. Segments that m no longer
// names, and damaged ones, are passed over.
func (c *checker) identities(m *manifest) error {
	slices.SortFunc(c.sample, orderIDs)
	var lo event.ID
	for next := idsPerPass / sampleEvery; ; next += idsPerPass / sampleEvery {
		last := next >= len(c.sample)
		hi := event.ID{}
		if !last {
			hi = c.sample[next]
		}
		in := func(id event.ID) bool { return !less(id, lo) && (last || less(id, hi)) }
		if err := c.compare(m, in, func(x *meta) bool {
			return x.OtherIDs > 0 || !less(event.ID(x.MaxV7), lo) && (last || less(event.ID(x.MinV7), hi))
		}); err != nil {
			return err
		}
		if last {
			return nil
		}
		lo = hi
	}
}

func orderIDs(a, b event.ID) int { return bytes.Compare(a[:], b[:]) }

// compare compares the IDs that in accepts, of the segments that may has.
func (c *checker) compare(m *manifest, in func(event.ID) bool, may func(*meta) bool) error {
	var places []place
	for i := range m.Segments {
		x := &m.Segments[i]
		if !c.done[x.File] || !may(x) {
			continue
		}
		err := c.open(x, func(g *parquet.RowGroup) error {
			ids, err := g.IDs(c.ctx)
			if err != nil {
				return err
			}
			for row, id := range ids {
				if in(id) {
					places = append(places, place{id, uint32(i), uint32(row)})
				}
			}
			return nil
		})
		if err = c.passOver(err); err != nil {
			return err
		}
	}
	slices.SortFunc(places, func(a, b place) int { return orderIDs(a.id, b.id) })
	var twice []place
	for i, p := range places {
		if i > 0 && places[i-1].id == p.id || i+1 < len(places) && places[i+1].id == p.id {
			twice = append(twice, p)
		}
	}
	if len(twice) == 0 {
		return nil
	}
	return c.judge(m, twice)
}

// passOver returns err if it is the end of the check. Segments that are gone or
// damaged are not.
func (c *checker) passOver(err error) error {
	var damage *parquet.DamageError
	var unread *parquet.ReadError
	if errors.As(err, &damage) || errors.As(err, &unread) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// judge adds a finding for each segment of which events, received within window
// of another one, have its identity. The places are those of IDs that were met more
// than once.
func (c *checker) judge(m *manifest, places []place) error {
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.segment, b.segment), cmp.Compare(a.row, b.row))
	})
	var claims []claim
	tenants := make(map[string]int)
	for len(places) > 0 {
		n := 1
		for n < len(places) && places[n].segment == places[0].segment {
			n++
		}
		of, err := c.claims(m, places[:n], tenants)
		if err = c.passOver(err); err != nil {
			return err
		}
		claims = append(claims, of...)
		places = places[n:]
	}
	slices.SortFunc(claims, func(a, b claim) int {
		return cmp.Or(orderIDs(a.id, b.id), cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.received, b.received), cmp.Compare(a.segment, b.segment))
	})
	copies := make(map[uint32]int64) // events that are one too many, by segment
	for i := 1; i < len(claims); i++ {
		p, before := &claims[i], &claims[i-1]
		if p.id == before.id && p.tenant == before.tenant && p.received-before.received < int64(window) {
			copies[p.segment]++
		}
	}
	for i, n := range copies {
		x := &m.Segments[i]
		c.report.Findings = append(c.report.Findings, Finding{File: c.path(x.File), Offset: -1,
			Reason: fmt.Sprintf("%d of its events have the identity of another that was received less than %d days before", n, window/(24*time.Hour)),
			Events: n, From: x.From, To: x.To, MinTime: x.MinTime, MaxTime: x.MaxTime})
	}
	return nil
}

// claims reads what tells the events of one segment apart, and numbers tenants that
// have no number yet.
func (c *checker) claims(m *manifest, places []place, tenants map[string]int) ([]claim, error) {
	rows := make([]uint32, len(places))
	for i, p := range places {
		rows[i] = p.row
	}
	of := make([]claim, len(places))
	err := c.open(&m.Segments[places[0].segment], func(g *parquet.RowGroup) error {
		cols, err := g.Gather(c.ctx, rows, event.Fields(event.TenantID, event.ReceivedAt))
		if err != nil {
			return err
		}
		for i, p := range places {
			name := cols.Text[event.TenantID].At(i)
			tenant, known := tenants[name]
			if !known {
				tenant = len(tenants)
				tenants[strings.Clone(name)] = tenant
			}
			of[i] = claim{p, tenant, cols.ReceivedAt[i]}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return of, nil
}
