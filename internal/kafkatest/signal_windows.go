package kafkatest

import "syscall"

// Windows has none of these; sending one is an error.
const (
	sigTerm = syscall.SIGTERM
	sigStop = syscall.Signal(-1)
	sigCont = syscall.Signal(-1)
)
