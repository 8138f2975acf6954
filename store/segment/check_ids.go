package segment

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/parquet"
)

const (
	// window is how long, at least, the same identity means the same event.
	window = 7 * 24 * time.Hour

	// idsPerPass is about how many identities are compared at a time, and
	// sampleEvery how many events go to one of the sample that says which.
	idsPerPass  = 2 << 20
	sampleEvery = 512
)

// place is where an identity was met.
type place struct {
	id      event.ID
	segment uint32
	row     uint32
}

// identities verifies that no two events of m's segments have the same identity
// and were received within window of each other. They are compared range by range,
// each about idsPerPass long, for which only those segments are read that may have
// one in it. Segments that m no longer names, and damaged ones, are passed over.
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

// compare compares the identities that in accepts, of the segments that may has.
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
// of another one, have its identity.
func (c *checker) judge(m *manifest, places []place) error {
	received := make(map[uint32][]int64) // by segment
	for _, p := range places {
		if received[p.segment] != nil {
			continue
		}
		err := c.open(&m.Segments[p.segment], func(g *parquet.RowGroup) error {
			at, err := g.Ints(c.ctx, event.ReceivedAt)
			if err == nil {
				received[p.segment] = at
			}
			return err
		})
		if err = c.passOver(err); err != nil {
			return err
		}
	}
	at := func(p place) int64 { return received[p.segment][p.row] }
	places = slices.DeleteFunc(places, func(p place) bool { return received[p.segment] == nil })
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(orderIDs(a.id, b.id), cmp.Compare(at(a), at(b)), cmp.Compare(a.segment, b.segment))
	})
	copies := make(map[uint32]int64) // events that are one too many, by segment
	for i := 1; i < len(places); i++ {
		if p, before := places[i], places[i-1]; p.id == before.id && at(p)-at(before) < int64(window) {
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
