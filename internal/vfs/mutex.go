package vfs

// Mutex is a lock that is held while files are read and written. It is handed
// out in the order in which it was asked for: a sync.Mutex lets whoever comes last
// overtake, and an fsync is long to be overtaken. And whoever waits for it waits
// on a channel, so that testing/synctest sees that a goroutine is blocked by the
// disk of a simulation.
type Mutex chan struct{}

// NewMutex returns a Mutex that nobody holds.
func NewMutex() Mutex { return make(Mutex, 1) }

// Lock takes m, waiting for those who asked before.
func (m Mutex) Lock() { m <- struct{}{} }

// TryLock takes m if nobody holds it, and reports whether it did.
func (m Mutex) TryLock() bool {
	select {
	case m <- struct{}{}:
		return true
	default:
		return false
	}
}

// Unlock gives m to whoever waits first.
func (m Mutex) Unlock() { <-m }
