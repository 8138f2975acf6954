package column_test

import (
	"fmt"
	"testing"

	"github.com/daybook-log/daybook/store/column"
)

const benchRows = 256 << 10

// mix returns a number that looks random for each i.
func mix(i int) uint64 {
	x := uint64(i) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	return x ^ x>>27
}

var benchShapes = []struct {
	name  string
	value func(i int) string
}{
	{"constant", func(int) string { return "default" }},
	{"repeated10", func(i int) string { return fmt.Sprint("document.action", mix(i)%10) }},
	{"repeated10000", func(i int) string { return fmt.Sprint("user-", mix(i)%10000) }},
	{"unique", func(i int) string { return fmt.Sprintf("%032x", mix(i)) }},
}

// One operation is one row.
func BenchmarkAppend(b *testing.B) {
	for _, s := range benchShapes {
		vs := make([]string, benchRows)
		for i := range vs {
			vs[i] = s.value(i)
		}
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			var c *column.Builder
			for i := range b.N {
				if i%benchRows == 0 {
					c = column.NewBuilder(benchRows)
				}
				c.Append(vs[i%benchRows])
			}
		})
	}
}

// One operation is one new value of a column that stays coded, plain beside it.
func BenchmarkAppendNew(b *testing.B) {
	const n = 8000
	vs := make([]string, n)
	for i := range vs {
		vs[i] = fmt.Sprintf("%032x", mix(i))
	}
	var c *column.Builder
	for i := range b.N {
		if i%n == 0 {
			c = column.NewBuilder(n)
		}
		c.Append(vs[i%n])
	}
}

// One operation is 16 columns of 16Ki rows.
func BenchmarkConcat(b *testing.B) {
	for _, s := range benchShapes {
		var ts []*column.Text
		for i := range 16 {
			c := column.NewBuilder(benchRows / 16)
			for j := range benchRows / 16 {
				c.Append(s.value(i*benchRows/16 + j))
			}
			t := c.Snapshot()
			ts = append(ts, &t)
		}
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				column.Concat(ts)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
		})
	}
}

// One operation is 256Ki rows in another order.
func BenchmarkGather(b *testing.B) {
	rows := make([]uint32, benchRows)
	for i := range rows {
		rows[i] = uint32(mix(i) % benchRows)
	}
	for _, s := range benchShapes {
		vs := make([]string, benchRows)
		for i := range vs {
			vs[i] = s.value(i)
		}
		c := build(vs)
		b.Run(s.name, func(b *testing.B) {
			for b.Loop() {
				column.Gather(&c, rows)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
		})
	}
}
