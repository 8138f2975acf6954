//go:build race

package sim

// raced: see race_off_test.go.
const raced = true
