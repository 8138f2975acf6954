package kafkatest

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the system kill the process when this one dies, of whatever.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
