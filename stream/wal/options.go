package wal

import (
	"fmt"
	"time"
)

// Options of a log. A zero field means its default.
type Options struct {
	// SegmentBytes is the size from which on a new segment is begun. The default
	// is 128 MiB, about a million events; at most 1 GiB.
	SegmentBytes int64

	// MaxBatchBytes is the most data, and the most records, that one Append
	// takes. The default is 32 MiB; at most 256 MiB.
	MaxBatchBytes int

	// MaxCommitBytes is the most data, before compression, that concurrent
	// appends share one fsync with: it bounds how long the first of them waits
	// for the last to be written. The default is 8 MiB; at most 256 MiB. A
	// larger batch is committed alone.
	MaxCommitBytes int

	// MaxWaitingBytes is how much data may be on its way to the disk before
	// Append refuses more with stream.ErrOverloaded. The default is 64 MiB.
	MaxWaitingBytes int64

	// TailCacheBytes is how much of the newest data is kept in memory, so that
	// readers who keep up read no disk. The default is 16 MiB.
	TailCacheBytes int64

	// RetainAge and RetainBytes make retention drop the oldest segment while all
	// of it is older, or the segments together are larger. Only what was
	// released is dropped, by whole segments, never the newest one. 0 is no
	// limit. With RetainAge a segment is also ended once its first record is
	// that old, so that the age holds for a quiet log too.
	RetainAge   time.Duration
	RetainBytes int64

	// IndexEvery is how many bytes of a segment lie between two entries of its
	// index: what a reader reads in vain, at most, to find where it begins. The
	// default is 64 KiB, which costs 32 KiB of memory for a full segment.
	IndexEvery int64

	// Now is the clock. The default is time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() (Options, error) {
	var err error
	pick := func(name string, value *int64, def, limit int64) {
		if *value == 0 {
			*value = def
		}
		if (*value < 0 || *value > limit) && err == nil {
			err = fmt.Errorf("wal: option %s is %d: it must be between 1 and %d", name, *value, limit)
		}
	}
	const noLimit = 1 << 62
	batch, commit := int64(o.MaxBatchBytes), int64(o.MaxCommitBytes)
	pick("SegmentBytes", &o.SegmentBytes, 128<<20, 1<<30)
	pick("MaxBatchBytes", &batch, 32<<20, maxDataLen)
	pick("MaxCommitBytes", &commit, 8<<20, maxDataLen)
	pick("MaxWaitingBytes", &o.MaxWaitingBytes, 64<<20, noLimit)
	pick("TailCacheBytes", &o.TailCacheBytes, 16<<20, noLimit)
	pick("IndexEvery", &o.IndexEvery, 64<<10, noLimit)
	if (o.RetainAge < 0 || o.RetainBytes < 0) && err == nil {
		err = fmt.Errorf("wal: options RetainAge %s and RetainBytes %d must not be negative", o.RetainAge, o.RetainBytes)
	}
	o.MaxBatchBytes, o.MaxCommitBytes = int(batch), int(commit)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, err
}
