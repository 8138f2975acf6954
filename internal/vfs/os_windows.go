package vfs

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// syncDir does nothing: NTFS journals its names, and Windows refuses to flush
// the handle of a folder.
func syncDir(string) error { return nil }

// IsNoFiles reports whether err says that a file was not opened because as many
// are open as the process or the system may have.
func IsNoFiles(err error) bool {
	return errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// IsNoSpace reports whether err says that the disk or a quota is full.
func IsNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) ||
		errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED) ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
