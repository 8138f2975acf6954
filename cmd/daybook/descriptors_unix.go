//go:build unix

package main

import "syscall"

// descriptors returns how many files and connections this process may have open
// at once. The runtime has raised it to what the system allows.
func descriptors() (n int, known bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return int(min(uint64(limit.Cur), 1<<30)), true
}
