package segment

import (
	"fmt"
	"sync/atomic"

	"github.com/daybook-log/daybook/store"
)

// budget is the memory that one query may use. It is safe for concurrent use.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take accounts for n bytes, or fails with an error that wraps store.ErrMemory.
func (b *budget) take(n int64) error {
	if used := b.used.Add(n); used > b.limit {
		b.used.Add(-n)
		return fmt.Errorf("%w: it would hold %d bytes at once, the limit is %d; narrow the time range, the filter or the fields", store.ErrMemory, used, b.limit)
	}
	return nil
}

func (b *budget) give(n int64) { b.used.Add(-n) }
