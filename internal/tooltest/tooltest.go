// Package tooltest gets the tools of others that tests need. What a registry has is
// kept in the user's cache folder. A test whose tool cannot be had says so and is
// skipped, but fails when CI=true says that nothing may be skipped.
package tooltest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gofrs/flock"
)

// MissingError says which tool there is not on this machine.
type MissingError struct{ Err error }

func (e MissingError) Error() string { return e.Err.Error() }
func (e MissingError) Unwrap() error { return e.Err }

// Fail ends the test where there is an error, or skips it where that is for want
// of tools.
func Fail(t testing.TB, err error) {
	t.Helper()
	missing, isMissing := errors.AsType[MissingError](err)
	switch {
	case err == nil:
	case isMissing && os.Getenv("CI") != "true":
		t.Skipf("NOT TESTED: %v", missing)
	default:
		t.Fatal(err)
	}
}

// Needs says which of the tools, by the package that they are in, is missing.
func Needs(tools map[string]string) error {
	for tool, pkg := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			return MissingError{fmt.Errorf("%s is not installed; on Debian it is in the package %s", tool, pkg)}
		}
	}
	return nil
}

// Keep returns a folder in the user's cache folder that is made once for every
// change of recipe: fill fills it, and then finish, if there is one, does what
// takes its final name. Packages are tested at the same time, and one makes it.
func Keep(name string, recipe []byte, fill, finish func(dir string) error) (home string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", MissingError{err}
	}
	dir := filepath.Join(cache, "daybook-test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", MissingError{err}
	}
	lock := flock.New(filepath.Join(dir, name+".lock"))
	if err := lock.Lock(); err != nil {
		return "", MissingError{err}
	}
	defer lock.Unlock()
	sum := sha256.Sum256(recipe)
	home = filepath.Join(dir, fmt.Sprintf("%s-%x", name, sum[:6]))
	if _, err := os.Stat(home); err == nil {
		return home, nil
	}
	temp, err := os.MkdirTemp(dir, name+"-new-")
	if err != nil {
		return "", MissingError{err}
	}
	defer os.RemoveAll(temp)
	if err := fill(temp); err != nil {
		return "", err
	}
	if err := os.Rename(temp, home); err != nil || finish == nil {
		return home, err
	}
	return home, finish(home)
}

// NPM keeps a folder of the files of a project, among them package.json and
// package-lock.json, with what npm installs for it.
func NPM(ctx context.Context, name string, project fs.FS) (dir string, err error) {
	if err := Needs(map[string]string{"node": "nodejs", "npm": "npm"}); err != nil {
		return "", err
	}
	var recipe []byte
	err = fs.WalkDir(project, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(project, path)
		recipe = append(recipe, text...)
		return err
	})
	if err != nil {
		return "", err
	}
	return Keep(name, recipe, func(temp string) error {
		if err := os.CopyFS(temp, project); err != nil {
			return err
		}
		npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		npm.Dir = temp
		if out, err := npm.CombinedOutput(); err != nil {
			return MissingError{fmt.Errorf("npm cannot fetch %s: %w\n%s", name, err, out)}
		}
		return nil
	}, nil)
}
