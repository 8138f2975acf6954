package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// peakMemory returns the most resident bytes that a running process had so far,
// 0 where the system does not tell. What the system says of a process that has
// ended would not do: on Linux that counts its parent's memory at the fork.
func peakMemory(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("\nVmHWM:"))
	if fields := bytes.Fields(rest); len(fields) > 0 {
		if kb, err := strconv.ParseInt(string(fields[0]), 10, 64); err == nil {
			return kb << 10
		}
	}
	return 0
}
