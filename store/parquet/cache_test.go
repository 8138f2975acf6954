package parquet

import (
	"fmt"
	"testing"
)

func TestCacheKeepsToItsRoom(t *testing.T) {
	const room = 1 << 20
	c := NewCache(room)
	for i := range 10_000 {
		c.put(cacheKey{1, int64(i) * 4096}, i, 1000)
		if c.Bytes() > room {
			t.Fatalf("%d bytes in a cache of %d", c.Bytes(), room)
		}
	}
	if c.Bytes() < room*8/10 {
		t.Errorf("%d bytes in a cache of %d that was filled", c.Bytes(), room)
	}
	kept := 0
	for i := range 10_000 {
		if v, ok := c.get(cacheKey{1, int64(i) * 4096}); ok {
			if v != i {
				t.Fatalf("entry %d is %v", i, v)
			}
			kept++
		}
	}
	if want := room / (1000 + entryBytes); kept < want*8/10 || kept > want {
		t.Errorf("%d entries kept, about %d have room", kept, want)
	}
}

// What is used stays; what is not goes.
func TestCacheDropsTheLeastRecentlyUsed(t *testing.T) {
	c := NewCache(1 << 20)
	hot := cacheKey{7, 7}
	c.put(hot, "hot", 1000)
	for i := range 20_000 {
		c.put(cacheKey{1, int64(i) * 4096}, i, 1000)
		if v, ok := c.get(hot); !ok || v != "hot" {
			t.Fatalf("what is used all the time was dropped after %d others", i)
		}
	}
	if _, ok := c.get(cacheKey{1, 0}); ok {
		t.Error("what was never used again is still there")
	}
}

func TestCacheRefusesGiants(t *testing.T) {
	c := NewCache(1 << 20)
	small := cacheKey{1, 1}
	c.put(small, "small", 10)
	for i := range 100 {
		c.put(cacheKey{2, int64(i)}, "giant", 1<<19)
	}
	if _, ok := c.get(small); !ok {
		t.Error("giants drove out what was there")
	}
	none := NewCache(0)
	none.put(small, "small", 10)
	if _, ok := none.get(small); ok || none.Bytes() != 0 {
		t.Error("a cache without room keeps something")
	}
}

// A key is of one file: another file's page at the same place is another page.
func TestCacheKeys(t *testing.T) {
	c := NewCache(1 << 20)
	for file := range uint64(20) {
		c.put(cacheKey{file, 4}, fmt.Sprint(file), 10)
		c.put(cacheKey{file, 4}, "again", 10) // the first stays
	}
	for file := range uint64(20) {
		if v, _ := c.get(cacheKey{file, 4}); v != fmt.Sprint(file) {
			t.Errorf("file %d: %v", file, v)
		}
	}
	if want := int64(20 * (10 + entryBytes)); c.Bytes() != want {
		t.Errorf("%d bytes, want %d", c.Bytes(), want)
	}
}
