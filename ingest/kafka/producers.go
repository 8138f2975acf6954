package kafka

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"sync"
	"time"
	"weak"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/daybook-log/daybook/event"
)

// An idempotent producer numbers its records. A batch says who the producer is
// (an id from InitProducerId, and an epoch that it raises itself when it has
// given up on a batch) and the number of its first record. See the package
// comment for what is made of that.
const (
	// remembered is how many of a producer's last batches can be answered again
	// with their offset. Clients have at most five on the way.
	remembered = 5
	// maxProducers is how many producers are remembered, each in about 500
	// bytes; past it the one that was silent for longest is forgotten.
	maxProducers = 50_000
	// forgetAfter is how long a silent producer is remembered, as in Kafka.
	forgetAfter = 24 * time.Hour
)

// producerKey names a producer's sequence.
type producerKey struct {
	principal string
	topic     string
	id        int64
}

// producer is one sequence. While users is not 0, its batches are on their way
// through one connection, and everything but owner and users is guarded by that
// connection's mu.
type producer struct {
	key   producerKey
	place *list.Element // in producers.bySilence
	seen  time.Time     // when it was last let go

	// Guarded by producers.mu.
	owner *conn
	users int
	free  chan struct{} // made by who waits; closed when users becomes 0

	taken    sequence // with all batches that were accepted
	appended sequence // with all that were appended: the same unless some are on their way
	told     told     // since the last that was accepted, or failed
	owed     place    // what of the sequence lies between taken and this, the client was told to send again
	onTheWay []*turn
	recent   [remembered]turn // the last that were appended, oldest first; the zero turn: none
}

// place is a place in a producer's sequence.
type place struct {
	epoch int16
	next  int32 // the number of the record to come
}

// before reports whether a comes before b.
func (a place) before(b place) bool {
	if a.epoch != b.epoch {
		return a.epoch < b.epoch
	}
	return a.next != b.next && after(b.next, -int64(a.next)) < math.MaxInt32/2
}

// plus returns the place n records later.
func (a place) plus(n int32) place { return place{a.epoch, after(a.next, int64(n))} }

// sequence is how far a producer has come.
type sequence struct {
	place
	known bool  // anything is
	count int64 // records in a row before next that were appended
}

// told are the batches, one after the other, that the client was told to send
// again. The connection is held weakly: producers are remembered for longer.
type told struct {
	oldest, last place
	over         weak.Pointer[conn] // the connection over which they came
	any          bool
}

// turn is a batch's place in its producer's sequence.
type turn struct {
	producer *producer
	at       place
	count    int32 // records
	base     int64 // the offset of the first record, once appended
	state    turnState
}

type turnState uint8

const (
	waiting turnState = iota
	appended
	failed
)

// after returns the number that comes n after seq. Numbers wrap past 2³¹-1.
func after(seq int32, n int64) int32 { return int32((int64(seq) + n) & (1<<31 - 1)) }

// accept says what to do with a batch of n records, n ≥ 1: append it, and then
// the turn is a new one; answer it with the outcome of a turn that it repeats;
// or refuse it.
func (p *producer) accept(epoch int16, first, n int32) (t *turn, repeat bool, refusal *kerr.Error) {
	s, at := &p.taken, place{epoch, first}
	if s.known && epoch < s.epoch {
		return nil, false, kerr.InvalidProducerEpoch
	}
	for i := range p.recent {
		if t := &p.recent[i]; t.state == appended && t.at == at && t.count == n {
			copied := *t // which stays when recent moves on
			return &copied, true, nil
		}
	}
	for _, t := range p.onTheWay {
		if t.at == at && t.count == n {
			return t, true, nil
		}
	}
	if s.known {
		refusal = p.follows(at, n)
	} else if refusal = p.begins(at); refusal == nil {
		s.known, s.place = true, at
		p.appended = *s
	}
	if again(refusal) {
		p.tell(at, n)
	}
	if refusal != nil {
		return nil, false, refusal
	}
	p.told = told{}
	t = &turn{producer: p, at: at, count: n}
	p.taken = s.with(t)
	if p.owed.before(p.taken.place) {
		p.owed = p.taken.place
	}
	p.onTheWay = append(p.onTheWay, t)
	return t, false, nil
}

// again reports whether a batch refused with this code is to be sent again.
func again(refusal *kerr.Error) bool {
	return refusal == kerr.NotEnoughReplicas || refusal == kerr.NotEnoughReplicasAfterAppend
}

// tell notes that the client is told to send a batch of n records again.
func (p *producer) tell(at place, n int32) {
	t, over := &p.told, weak.Make(p.owner)
	if !t.any || t.over != over || !t.last.before(at) {
		t.oldest = at
	}
	t.last, t.over, t.any = at, over, true
	if p.owed.before(at.plus(n)) {
		p.owed = at.plus(n)
	}
}

// anew reports whether the client sends again what it was told to. It comes over
// the connection on which it was told, so the client has heard all that it was
// told before. As clients begin with the oldest batch that was not answered, none
// before this one will come.
func (p *producer) anew(at place) bool {
	t := &p.told
	return t.any && t.over == weak.Make(p.owner) && !at.before(t.oldest) && !t.last.before(at)
}

// begins says why the sequence of a producer of which nothing is known does not
// go on at this place; nil: it does. A client with several batches on the way may
// come with a later one first, when the connection of the earlier was lost. To
// accept it would be to lose the earlier, as some clients take it for the answer
// to both. So the client is told to send it again.
func (p *producer) begins(at place) *kerr.Error {
	switch {
	case p.told.any && at.epoch < p.told.last.epoch:
		return kerr.InvalidProducerEpoch
	case at.next == 0 || p.anew(at):
		return nil
	case !p.told.any:
		p.owed = at
	}
	return kerr.NotEnoughReplicasAfterAppend
}

// follows says why a batch of n records at this place is not the next; nil: it
// is. What leaves a gap because the client was told to send the batches before it
// again, and has not heard or not done so yet, is only to be sent again as well;
// unless the client has given them up.
func (p *producer) follows(at place, n int32) *kerr.Error {
	s := &p.taken
	switch {
	case at == s.place || at.epoch > s.epoch && at.next == 0:
		return nil
	case s.before(at) && s.before(p.owed) && !p.anew(at):
		return kerr.NotEnoughReplicas
	case at.epoch == s.epoch && len(p.onTheWay) == 0:
		if behind := int64(after(s.next, -int64(at.next))); int64(n) <= behind && behind <= s.count {
			return kerr.DuplicateSequenceNumber
		}
	}
	return kerr.OutOfOrderSequenceNumber
}

// with returns the sequence with t at its end.
func (s sequence) with(t *turn) sequence {
	count := s.count
	if !s.known || s.epoch != t.at.epoch {
		count = 0
	}
	return sequence{place: t.at.plus(t.count), known: true, count: count + int64(t.count)}
}

// land notes that t, the first on the way, was appended at base.
func (p *producer) land(t *turn, base int64) {
	t.state, t.base = appended, base
	p.appended = p.appended.with(t)
	p.onTheWay = p.onTheWay[1:]
	copy(p.recent[:], p.recent[1:])
	p.recent[remembered-1] = *t
}

// withdraw takes back t, the last that was accepted, because its batch was
// refused.
func (p *producer) withdraw(t *turn) {
	t.state = failed
	p.onTheWay = p.onTheWay[:len(p.onTheWay)-1]
	p.taken = p.appended
	for _, t := range p.onTheWay {
		p.taken = p.taken.with(t)
	}
	p.owed = p.taken.place // the client knows that what came after it does not follow
}

// fail notes that nothing of what is on the way will be appended: it is owed.
func (p *producer) fail() {
	for _, t := range p.onTheWay {
		t.state = failed
	}
	p.onTheWay, p.taken, p.told = nil, p.appended, told{}
}

// identify makes the identity of an event that has none, from its record's
// place in its producer's sequence: a record that is sent again is the same
// event again, also when the server was restarted between. It is a UUIDv8 (RFC
// 9562) that begins with the record's timestamp, as a UUIDv7 does, so that it
// sorts by time.
func (t *turn) identify(i int, milli int64) event.ID {
	k := &t.producer.key
	in := make([]byte, 0, 64)
	in = binary.BigEndian.AppendUint64(in, uint64(k.id))
	in = binary.BigEndian.AppendUint16(in, uint16(t.at.epoch))
	in = binary.BigEndian.AppendUint32(in, uint32(t.at.plus(int32(i)).next))
	in = append(in, k.principal...)
	in = append(in, 0)
	in = append(in, k.topic...)
	sum := sha256.Sum256(in)
	var id event.ID
	binary.BigEndian.PutUint64(id[:], uint64(max(milli, 0))<<16)
	copy(id[6:], sum[:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// producers are the idempotent producers that are remembered.
type producers struct {
	mu        sync.Mutex
	byKey     map[producerKey]*producer // guarded by mu, as everything below
	bySilence *list.List                // of *producer, those silent for longest first
}

func (ps *producers) init() {
	ps.byKey = make(map[producerKey]*producer)
	ps.bySilence = list.New()
}

// enter returns the producer of a batch that came over c. While batches of the
// producer are on their way through another connection, on which the client
// has given up, it waits for their outcome. The caller calls leave when that of
// its own batch is known.
func (ps *producers) enter(ctx context.Context, key producerKey, c *conn) (*producer, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for {
		p := ps.byKey[key]
		if p == nil {
			ps.forget(time.Now())
			p = &producer{key: key}
			p.place = ps.bySilence.PushBack(p)
			ps.byKey[key] = p
		}
		if p.users == 0 || p.owner == c {
			p.owner = c
			p.users++
			return p, nil
		}
		if p.free == nil {
			p.free = make(chan struct{})
		}
		free := p.free
		ps.mu.Unlock()
		var err error
		select {
		case <-free:
		case <-ctx.Done():
			err = ctx.Err()
		}
		ps.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// leave is called once per enter.
func (ps *producers) leave(p *producer) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.seen = time.Now()
	ps.bySilence.MoveToBack(p.place)
	if p.users--; p.users > 0 {
		return
	}
	p.owner = nil
	if p.free != nil {
		close(p.free)
		p.free = nil
	}
}

// forget makes room for one more. Those in use are few, and never among the
// first for long.
func (ps *producers) forget(now time.Time) {
	for e := ps.bySilence.Front(); e != nil; {
		p := e.Value.(*producer)
		if ps.bySilence.Len() < maxProducers && now.Sub(p.seen) < forgetAfter {
			return
		}
		next := e.Next()
		if p.users == 0 {
			ps.bySilence.Remove(e)
			delete(ps.byKey, p.key)
		} else if ps.bySilence.Len() < maxProducers {
			return
		}
		e = next
	}
}
