// Package importertest finds the real audit logs that tests go through. They lie
// beside the checkout and are no part of it.
package importertest

import (
	"bufio"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Logs returns the files of real audit logs in a folder, gzipped NDJSON. Without
// any, the test is skipped.
func Logs(t testing.TB, folder string) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.ndjson.gz", "panther/*.ndjson.gz"} {
		found, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Skipf("NOT TESTED: no real audit logs at %s", folder)
	}
	return files
}

// Inflate returns the lines of a gzip file.
func Inflate(t testing.TB, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
