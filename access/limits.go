package access

import (
	"sync"
	"sync/atomic"
	"time"
)

// Limits bounds what is done under one key. The zero Limits bounds nothing.
type Limits struct {
	eventsPerSecond float64 // 0 or less: no bound
	queriesAtOnce   int64   // 0 or less: no bound
	queries         atomic.Int64

	mu   sync.Mutex
	left float64   // guarded by mu: events that may be published now; below zero: how many were too many
	at   time.Time // guarded by mu: when left was right
}

// NewLimits returns limits; 0 or less is no bound.
func NewLimits(eventsPerSecond, queriesAtOnce int) *Limits {
	return &Limits{eventsPerSecond: float64(eventsPerSecond), queriesAtOnce: int64(queriesAtOnce), left: float64(eventsPerSecond)}
}

// refill brings left up to date: a second's worth at most. mu is held.
func (l *Limits) refill(now time.Time) {
	if passed := now.Sub(l.at); passed > 0 {
		if !l.at.IsZero() {
			l.left = min(l.left+passed.Seconds()*l.eventsPerSecond, l.eventsPerSecond)
		}
		l.at = now
	}
}

// longest is the longest wait that is told; beyond it, one that waited so long is
// told to wait again.
const longest = 24 * time.Hour

// Wait returns how long to wait before more events may be published, a day at
// most.
//
// A request is taken whole whenever there is anything left, and its events may
// take the balance below zero: none is refused in the midst of a batch, and over
// time no more come in than the limit says.
func (l *Limits) Wait(now time.Time) time.Duration {
	if l == nil || l.eventsPerSecond <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refill(now); l.left > 0 {
		return 0
	}
	seconds := min((1-l.left)/l.eventsPerSecond, longest.Seconds())
	return max(time.Duration(seconds*float64(time.Second)), time.Millisecond)
}

// Charge takes n events off.
func (l *Limits) Charge(now time.Time, n int) {
	if l == nil || l.eventsPerSecond <= 0 || n <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refill(now)
	l.left -= float64(n)
}

// EnterQuery takes a place among the queries that run at once, to be given back
// with [Limits.LeaveQuery], and reports whether there was one.
func (l *Limits) EnterQuery() bool {
	if l == nil || l.queriesAtOnce <= 0 {
		return true
	}
	for { // whoever is refused must not have held a place meanwhile: others would be refused for it
		n := l.queries.Load()
		if n >= l.queriesAtOnce {
			return false
		}
		if l.queries.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// LeaveQuery gives back what EnterQuery took.
func (l *Limits) LeaveQuery() {
	if l != nil && l.queriesAtOnce > 0 {
		l.queries.Add(-1)
	}
}

// Slots are places of which each name has so many, such as a tenant's tails.
type Slots struct {
	most int // 0 or less: no bound

	mu    sync.Mutex
	taken map[string]int // guarded by mu; a name is in it while it has one
}

// NewSlots returns slots of which each name has most; 0 or less is no bound.
func NewSlots(most int) *Slots { return &Slots{most: most, taken: map[string]int{}} }

// Enter takes a place, to be given back with [Slots.Leave], and reports whether
// there was one.
func (s *Slots) Enter(name string) bool {
	if s.most <= 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[name] >= s.most {
		return false
	}
	s.taken[name]++
	return true
}

// Leave gives a place back.
func (s *Slots) Leave(name string) {
	if s.most <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[name]--; s.taken[name] <= 0 {
		delete(s.taken, name)
	}
}
