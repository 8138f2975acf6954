package parquet

import (
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/daybook-log/daybook/store/column"
)

// Cache keeps decompressed pages in memory, up to a number of bytes, and drops
// the ones not used for the longest time. Dictionaries and page indexes are kept
// as the reader needs them. Whole columns are not: decoding one takes a
// millisecond, keeping it would drive out thousands of pages. A Cache is shared
// by all files and safe for concurrent use.
type Cache struct {
	shards  [cacheShards]shard
	files   atomic.Uint64 // ids given out
	decoder *zstd.Decoder // stateless in the way it is used
	scratch sync.Pool     // of *scratch
}

const cacheShards = 16

type shard struct {
	mu      sync.Mutex
	max     int64
	bytes   int64 // guarded by mu
	entries map[cacheKey]*cacheEntry
	head    cacheEntry // guarded by mu: ring, head.next used last, head.prev to go first
}

// cacheKey names a piece of a file by where it begins.
type cacheKey struct {
	file uint64
	off  int64
}

type cacheEntry struct {
	key        cacheKey
	value      any // never changed once it is here
	bytes      int64
	prev, next *cacheEntry
}

// entryBytes is about what an entry takes beside its value.
const entryBytes = 160

// NewCache returns a cache of at most maxBytes; 0 keeps nothing.
func NewCache(maxBytes int64) *Cache {
	c := &Cache{}
	for i := range c.shards {
		s := &c.shards[i]
		s.max = maxBytes / cacheShards
		s.entries = make(map[cacheKey]*cacheEntry)
		s.head.prev, s.head.next = &s.head, &s.head
	}
	// A page is decompressed into memory of the size its header says, and never more.
	var err error
	c.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(maxPage))
	if err != nil {
		panic(err) // the options are wrong
	}
	c.scratch.New = func() any { return new(scratch) }
	return c
}

// Bytes returns how much the cache holds.
func (c *Cache) Bytes() int64 {
	n := int64(0)
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += s.bytes
		s.mu.Unlock()
	}
	return n
}

func (c *Cache) shard(k cacheKey) *shard {
	h := (k.file*0x9e3779b97f4a7c15 ^ uint64(k.off)) * 0xbf58476d1ce4e5b9
	return &c.shards[h>>60]
}

func (c *Cache) get(k cacheKey) (any, bool) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[k]
	if e == nil {
		return nil, false
	}
	e.unlink()
	e.link(&s.head)
	return e.value, true
}

// put keeps v, which takes about bytes of memory. Something larger than a
// quarter of the room is not kept.
func (c *Cache) put(k cacheKey, v any, bytes int64) {
	bytes += entryBytes
	s := c.shard(k)
	if bytes > s.max/4 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[k] != nil { // another reader was faster
		return
	}
	e := &cacheEntry{key: k, value: v, bytes: bytes}
	s.entries[k] = e
	e.link(&s.head)
	s.bytes += bytes
	for s.bytes > s.max {
		old := s.head.prev
		old.unlink()
		delete(s.entries, old.key)
		s.bytes -= old.bytes
	}
}

func (e *cacheEntry) unlink() { e.prev.next, e.next.prev = e.next, e.prev }

func (e *cacheEntry) link(head *cacheEntry) {
	e.prev, e.next = head, head.next
	head.next.prev = e
	head.next = e
}

// scratch is memory that a read needs while it runs.
type scratch struct {
	in     []byte // as stored
	raw    []byte // decompressed
	levels []byte
	codes  []uint32 // of the rows of a page that have a value
	rows   []uint32 // codes of all rows of a page
	ints   []int64
	text   column.Strings // of a page
}

// resize returns a slice of n elements: s if that is large enough, else a new one,
// which has some room for more if s was in use before. It does not keep what is
// in s.
func resize[T any](s []T, n int) []T {
	switch {
	case n <= cap(s):
		return s[:n]
	case cap(s) == 0:
		return make([]T, n)
	}
	return make([]T, n, n+n/4)
}
