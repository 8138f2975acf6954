//go:build !race

package sim

// raced: the race detector slows the tests down, and shuffles the goroutines that
// are woken together.
const raced = false
