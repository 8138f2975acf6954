package sim

import (
	"cmp"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing/synctest"
)

// errKilled is what every operation of a process that is dead returns.
var errKilled = errors.New("the process was killed")

// turn is one goroutine that waits for its turn.
type turn struct {
	name      string
	last      bool       // it comes when nobody else of the process waits
	goroutine int        // its number, where another may wait under the same name
	note      string     // what it did since its last turn, for the trace
	op        opKind     // of the file system; noOp: a call between stages, or a client
	of        *process   // nil: a client's
	who       *client    // nil: a component's
	resume    chan error // receives nil, or why it is not to go on
}

// turns holds who waits.
type turns struct {
	mu      sync.Mutex
	waiting []*turn // guarded by mu; those before sorted are sorted by name
	sorted  int     // guarded by mu
}

// wait returns when t may go on.
func (q *turns) wait(t *turn) error {
	t.resume = make(chan error, 1)
	q.mu.Lock()
	if t.of != nil && t.of.dead {
		q.mu.Unlock()
		return errKilled
	}
	q.waiting = append(q.waiting, t)
	q.mu.Unlock()
	return <-t.resume
}

// settle waits until every goroutine waits for something, and returns who waits
// for a turn, in an order that does not depend on who came first; fresh are those
// who came since it was last called.
func (q *turns) settle() (waiting, fresh []*turn) {
	synctest.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	fresh = q.waiting[q.sorted:]
	if len(fresh) > 1 {
		slices.SortStableFunc(fresh, func(a, b *turn) int {
			return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.goroutine, b.goroutine))
		})
	}
	q.sorted = len(q.waiting)
	return q.waiting, fresh
}

// goroutine returns the number of the calling goroutine. On one processor they
// are numbered in the order in which they were started.
func goroutine() int {
	var b [32]byte
	number, _, _ := strings.Cut(strings.TrimPrefix(string(b[:runtime.Stack(b[:], false)]), "goroutine "), " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		panic(err)
	}
	return n
}

// give lets t go on.
func (q *turns) give(t *turn, err error) {
	q.mu.Lock()
	i := slices.Index(q.waiting, t)
	q.waiting = slices.Delete(q.waiting, i, i+1)
	q.sorted = len(q.waiting)
	q.mu.Unlock()
	t.resume <- err
}

// kill makes every operation of p fail, those that wait now and all that come.
func (q *turns) kill(p *process) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p.dead = true
	q.waiting = slices.DeleteFunc(q.waiting, func(t *turn) bool {
		if t.of == p {
			t.resume <- errKilled
		}
		return t.of == p
	})
	q.sorted = len(q.waiting)
}
