package event

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		in   string
		ns   int64
		want string
	}{
		{"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"},
		{"1970-01-01t00:00:00.000000001z", 1, "1970-01-01T00:00:00.000000001Z"},
		{"1969-12-31T23:59:59.999999999Z", -1, "1969-12-31T23:59:59.999999999Z"},
		{"1970-01-01T00:00:00.100Z", 100_000_000, "1970-01-01T00:00:00.1Z"},
		{"1970-01-01T01:00:00+01:00", 0, "1970-01-01T00:00:00Z"},
		{"1969-12-31T18:30:00-05:30", 0, "1970-01-01T00:00:00Z"},
		{"1970-01-01T00:00:00-00:00", 0, "1970-01-01T00:00:00Z"},
		{"2000-02-29T00:00:00Z", 951782400_000_000_000, "2000-02-29T00:00:00Z"},
		{"2262-04-11T23:47:16.854775807Z", math.MaxInt64, "2262-04-11T23:47:16.854775807Z"},
		{"1677-09-21T00:12:43.145224193Z", math.MinInt64 + 1, "1677-09-21T00:12:43.145224193Z"},
	} {
		ns, err := ParseTime(c.in)
		if err != nil || ns != c.ns {
			t.Errorf("%s: got %d, %v, want %d", c.in, ns, err, c.ns)
		}
		if got := string(AppendTime(nil, c.ns)); got != c.want {
			t.Errorf("%d: got %s, want %s", c.ns, got, c.want)
		}
	}
	for _, c := range []struct{ in, want string }{
		{"", reasonTime},
		{"2026-11-24", reasonTime},
		{"2026-11-24 02:10:37Z", reasonTime},
		{"2026-11-24T02:10:37", reasonNoOffset},
		{"2026-11-24T02:10:37.5", reasonNoOffset},
		{"2026-11-24T02:10:37.Z", reasonTime},
		{"2026-11-24T02:10:37,5Z", reasonTime},
		{"2026-11-24T02:10:37+0100", reasonTime},
		{"2026-11-24T02:10:37+24:00", reasonTime},
		{"2026-11-24T02:10:37+01:60", reasonTime},
		{"2026-11-24T02:10:37Z ", reasonTime},
		{"2026-11-24T24:00:00Z", reasonTime},
		{"2026-11-24T23:60:00Z", reasonTime},
		{"2026-11-24T23:59:61Z", reasonTime},
		{"2026-00-24T00:00:00Z", reasonTime},
		{"2026-13-24T00:00:00Z", reasonTime},
		{"2026-04-31T00:00:00Z", reasonTime},
		{"1900-02-29T00:00:00Z", reasonTime},
		{"2o26-11-24T00:00:00Z", reasonTime},
		{"2026-11-24T02:10:37.0000000000Z", reasonFraction},
		{"2026-06-30T23:59:60Z", reasonLeap},
		{"1677-09-21T00:12:43.145224192Z", reasonTimeRange}, // NoTime
		{"2262-04-11T23:47:16.854775808Z", reasonTimeRange},
		{"0000-01-01T00:00:00Z", reasonTimeRange},
		{"9999-12-31T23:59:59Z", reasonTimeRange},
	} {
		if ns, reason := parseTime(c.in); reason != c.want || ns != NoTime {
			t.Errorf("%q: got %d, %q, want %q", c.in, ns, reason, c.want)
		}
	}
}

// TestTimesAgainstStandardLibrary checks random times against package time.
func TestTimesAgainstStandardLibrary(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		ns := int64(rnd.Uint64())
		if rnd.IntN(2) == 0 {
			ns -= ns % 1_000_000_000
		}
		if ns == NoTime {
			continue
		}
		got, want := string(AppendTime(nil, ns)), time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
		if got != want {
			t.Fatalf("%d: got %s, want %s", ns, got, want)
		}
		if back, err := ParseTime(got); err != nil || back != ns {
			t.Fatalf("%s: got %d, %v, want %d", got, back, err, ns)
		}
	}
}

func TestEpochUnits(t *testing.T) {
	for _, c := range []struct {
		number string
		ns     int64
		reason string
	}{
		{"99999999999", NoTime, reasonSeconds},
		{"100000000000", 100000000000_000_000, ""},
		{"9223372036854", 9223372036854_000_000, ""},
		{"9223372036855", NoTime, reasonTimeRange},
		{"99999999999999", NoTime, reasonTimeRange},
		{"100000000000000", 100000000000000_000, ""},
		{"9223372036854775", 9223372036854775_000, ""},
		{"9223372036854776", NoTime, reasonTimeRange},
		{"100000000000000000", 100000000000000000, ""},
		{"9223372036854775807", math.MaxInt64, ""},
		{"9223372036854775808", NoTime, reasonTimeRange},
		{"-9223372036854775807", math.MinInt64 + 1, ""},
		{"-9223372036854775808", NoTime, reasonTimeRange},
		{"-99999999999", NoTime, reasonSeconds},
		{"1e+21", NoTime, reasonEpoch},
		{"1.5", NoTime, reasonEpoch},
	} {
		if ns, reason := parseEpoch(c.number); ns != c.ns || reason != c.reason {
			t.Errorf("%s: got %d, %q, want %d, %q", c.number, ns, reason, c.ns, c.reason)
		}
	}
}
