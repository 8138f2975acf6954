package access

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestEventsPerSecond: over any time no more come in than the limit says, besides
// a second's worth at the beginning and the last request's; and whoever asks for
// all that it may have gets it.
func TestEventsPerSecond(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			rate, largest := 1+rng.IntN(5000), 1+rng.IntN(20_000)
			l := NewLimits(rate, 0)
			began, published, last := time.Now(), 0, 0
			for time.Since(began) < time.Hour {
				if wait := l.Wait(time.Now()); wait > 0 {
					time.Sleep(wait)
					if again := l.Wait(time.Now()); again != 0 {
						t.Fatalf("%d/s: after waiting for %v it is %v again", rate, wait, again)
					}
				}
				last = 1 + rng.IntN(largest)
				l.Charge(time.Now(), last)
				published += last
				allowed := float64(rate)*(time.Since(began).Seconds()+1) + float64(last)
				if float64(published) > allowed+1 {
					t.Fatalf("%d/s: %d events after %v, at most %.0f", rate, published, time.Since(began), allowed)
				}
			}
			// Each wait ends at a balance of one instead of just above nothing.
			if least := float64(rate) * 3500; float64(published) < least {
				t.Errorf("%d/s: %d events in an hour, and %.0f were allowed", rate, published, least)
			}
		})
	}
}

// TestEventsPerSecondConcurrently: requests at once may each find something left,
// and over time pay for it.
func TestEventsPerSecondConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, publishers, batch = 100, 20, 50
		l := NewLimits(rate, 0)
		var published atomic.Int64
		var all sync.WaitGroup
		began := time.Now()
		for range publishers {
			all.Go(func() {
				for time.Since(began) < 10*time.Minute {
					if wait := l.Wait(time.Now()); wait > 0 {
						time.Sleep(wait)
						continue
					}
					time.Sleep(time.Millisecond) // it is being published
					l.Charge(time.Now(), batch)
					published.Add(batch)
				}
			})
		}
		all.Wait()
		most := rate*(time.Since(began).Seconds()+1) + publishers*batch
		if got := float64(published.Load()); got > most || got < most*0.9 {
			t.Errorf("%.0f events, at most %.0f", got, most)
		}
	})
}

func TestWait(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		rate, charged int
		after         time.Duration
		want          string // at least and at most
	}{
		{10, 0, 0, "0s 0s"},
		{10, 9, 0, "0s 0s"},
		{10, 10, 0, "1ns 100ms"},
		{10, 30, 0, "2s 2.1s"},
		{10, 30, time.Second, "1s 1.1s"},
		{10, 30, 3 * time.Second, "0s 0s"},
		{10, 30, -time.Hour, "2s 2.1s"}, // the clock was set back
		{1_000_000, 1_000_000, 0, "1ms 1ms"},
		{1, 1 << 62, 0, "24h 24h"}, // more than a time.Duration holds
		{0, 1 << 40, 0, "0s 0s"},
		{-5, 1 << 40, 0, "0s 0s"},
	} {
		var least, most string
		fmt.Sscan(tt.want, &least, &most)
		from, _ := time.ParseDuration(least)
		to, _ := time.ParseDuration(most)
		l := NewLimits(tt.rate, 0)
		l.Charge(now, tt.charged)
		l.Charge(now, 0)
		l.Charge(now, -7) // gives nothing back
		if got := l.Wait(now.Add(tt.after)); got < from || got > to {
			t.Errorf("%d of %d/s, %v later: wait %v, want %s", tt.charged, tt.rate, tt.after, got, tt.want)
		}
	}
}

// TestNoLimits: neither nil nor zero limits bound anything.
func TestNoLimits(t *testing.T) {
	for name, l := range map[string]*Limits{"nil": nil, "zero": new(Limits), "of nothing": NewLimits(0, 0), "below nothing": NewLimits(-1, -1)} {
		l.Charge(time.Now(), 1<<30)
		if wait := l.Wait(time.Now()); wait != 0 {
			t.Errorf("%s: wait %v", name, wait)
		}
		for range 1000 {
			if !l.EnterQuery() {
				t.Fatalf("%s: no query may run", name)
			}
		}
		l.LeaveQuery()
	}
}

// TestQueriesAtOnce: never more run than may, and none is refused while fewer do.
func TestQueriesAtOnce(t *testing.T) {
	const most, askers = 3, 16
	l := NewLimits(0, most)
	var running, refused atomic.Int64
	var all sync.WaitGroup
	for range askers {
		all.Go(func() {
			for range 2000 {
				if !l.EnterQuery() {
					refused.Add(1)
					continue
				}
				if n := running.Add(1); n > most {
					t.Errorf("%d run at once", n)
				}
				running.Add(-1)
				l.LeaveQuery()
			}
		})
	}
	all.Wait()
	for i := range most + 1 {
		if got := l.EnterQuery(); got != (i < most) {
			t.Errorf("query %d of %d: %v", i+1, most, got)
		}
	}
	l.LeaveQuery()
	if !l.EnterQuery() {
		t.Error("a place that was given back is not there")
	}
}

func TestSlots(t *testing.T) {
	s := NewSlots(2)
	for _, step := range []struct {
		name  string
		leave bool
		want  bool
	}{
		{"a", false, true}, {"a", false, true}, {"a", false, false}, {"b", false, true},
		{"a", true, true}, {"a", false, true}, {"a", false, false}, {"b", false, true}, {"b", false, false},
		{"c", true, true}, {"c", false, true}, {"c", false, true}, {"c", false, false}, // who gives back what he had not has no more for it
	} {
		if step.leave {
			s.Leave(step.name)
		} else if got := s.Enter(step.name); got != step.want {
			t.Errorf("%+v: %v; taken %v", step, got, s.taken)
		}
	}
	for _, name := range []string{"a", "a", "b", "b", "c", "c"} {
		s.Leave(name)
	}
	if len(s.taken) != 0 {
		t.Errorf("names that have no place are remembered: %v", s.taken)
	}
	for _, most := range []int{0, -1} {
		s := NewSlots(most)
		for range 100 {
			if !s.Enter("a") {
				t.Fatalf("%d: no place", most)
			}
		}
		s.Leave("a")
	}
}

func TestSlotsConcurrently(t *testing.T) {
	s := NewSlots(2)
	var in [4]atomic.Int64
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			name := fmt.Sprint(i % 4)
			for range 500 {
				if s.Enter(name) {
					if n := in[i%4].Add(1); n > 2 {
						t.Errorf("%d places of %s are taken", n, name)
					}
					in[i%4].Add(-1)
					s.Leave(name)
				}
			}
		})
	}
	all.Wait()
	if len(s.taken) != 0 {
		t.Errorf("left over: %v", s.taken)
	}
}
