// Package state keeps the little that a server changes in place: its keys, its
// secret, saved searches. It is one bbolt file, in buckets of JSON documents.
// Every change is one transaction: it is durable, whole, when the call returns.
//
// Events are never kept here.
package state

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/daybook-log/daybook/internal/vfs"
)

// ErrInUse says that another process has the file open.
var ErrInUse = errors.New("is in use by another process")

// lockWait is how long Open waits for another process to close the file: long
// enough for one that is stopping, short enough for a person.
const lockWait = 2 * time.Second

// DB is an open file. It is safe for concurrent use.
type DB struct{ bolt *bbolt.DB }

// Open opens the file at path, and makes it if it is not there. Only its owner
// may read it: hashes of secrets are in it, and the secret that signs tokens.
func Open(path string) (*DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// bbolt syncs the file, and not the folder that names it.
	if err := vfs.OS().SyncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return &DB{db}, nil
}

// Close closes the file.
func (db *DB) Close() error { return db.bolt.Close() }

// secretSize is the length of a server's secret in bytes.
const secretSize = 32

// Secret returns the server's own secret, from which keys for single purposes
// are derived. It is made at random when it is first asked for.
func (db *DB) Secret() (secret []byte, err error) {
	err = db.bolt.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte("secret"))
		if err != nil {
			return err
		}
		name := []byte("master")
		if secret = append(secret, b.Get(name)...); len(secret) == secretSize {
			return nil
		}
		if len(secret) > 0 {
			return fmt.Errorf("the server's secret is %d bytes long; it must be %d", len(secret), secretSize)
		}
		secret = make([]byte, secretSize)
		rand.Read(secret) // never fails: crypto/rand ends the program instead
		return b.Put(name, secret)
	})
	return secret, err
}

// Bucket is a set of JSON documents by name.
type Bucket[T any] struct {
	db   *DB
	name []byte
}

// NewBucket returns the bucket of db with that name.
func NewBucket[T any](db *DB, name string) Bucket[T] { return Bucket[T]{db, []byte(name)} }

// Put writes documents, all or none.
func (b Bucket[T]) Put(docs map[string]T) error {
	return b.db.bolt.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(b.name)
		if err != nil {
			return err
		}
		for key, doc := range docs {
			value, err := json.Marshal(doc)
			if err != nil {
				return err
			}
			if err := bucket.Put([]byte(key), value); err != nil {
				return err
			}
		}
		return nil
	})
}

// Delete removes a document, and reports whether there was one.
func (b Bucket[T]) Delete(key string) (found bool, err error) {
	err = b.db.bolt.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(b.name)
		if bucket == nil || bucket.Get([]byte(key)) == nil {
			return nil
		}
		found = true
		return bucket.Delete([]byte(key))
	})
	return found, err
}

// All returns every document.
func (b Bucket[T]) All() (map[string]T, error) {
	docs := map[string]T{}
	err := b.db.bolt.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(b.name)
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(key, value []byte) error {
			var doc T
			if err := json.Unmarshal(value, &doc); err != nil {
				return fmt.Errorf("%s %s: %w", b.name, key, err)
			}
			docs[string(key)] = doc
			return nil
		})
	})
	return docs, err
}
