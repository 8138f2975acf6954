package state

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

type doc struct {
	N int `json:"n"`
}

func open(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) // a second time, it does nothing
	return db
}

func TestWhatIsPutIsThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db := open(t, path)
	b := NewBucket[doc](db, "things")
	if all, err := b.All(); err != nil || len(all) != 0 {
		t.Fatalf("a bucket that was never written: %v, %v", all, err)
	}
	if found, err := b.Delete("a"); found || err != nil {
		t.Fatalf("deleting from it: %v, %v", found, err)
	}
	if err := b.Put(map[string]doc{"a": {1}, "b": {2}}); err != nil {
		t.Fatal(err)
	}
	if found, err := b.Delete("a"); !found || err != nil {
		t.Fatalf("deleting a: %v, %v", found, err)
	}
	secret, err := db.Secret()
	if err != nil || len(secret) != 32 {
		t.Fatalf("secret of %d bytes, %v", len(secret), err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path)
	all, err := NewBucket[doc](db, "things").All()
	if err != nil || !maps.Equal(all, map[string]doc{"b": {2}}) {
		t.Errorf("after reopening %v, %v", all, err)
	}
	if again, err := db.Secret(); err != nil || !bytes.Equal(again, secret) {
		t.Errorf("the secret changed: %v", err)
	}
}

func TestOnlyOneProcessHasItOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	open(t, path)
	if _, err := Open(path); !errors.Is(err, ErrInUse) {
		t.Errorf("a second opening: %v", err)
	}
}

func TestOnlyItsOwnerReadsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	open(t, path)
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}
