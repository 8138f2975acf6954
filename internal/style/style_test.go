// Package style holds the house rules that a program can check: how long a file
// and a function may be, and who may import whom.
package style

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module       = "github.com/daybook-log/daybook"
	maxFile      = 620 // lines
	maxFunc      = 75  // lines
	maxTestTable = 400 // lines of a test function: tables of cases are long
)

// mayImport says which packages of the project a folder may import, besides its
// own subfolders. A stage is not among another's: it declares what it needs of
// its neighbour as an interface, over the vocabulary packages and the seams. A
// subfolder may have a line of its own: redaction takes the filter language's
// selectors, which the rest of ingest has no use for.
var mayImport = map[string][]string{
	"event":         {},
	"filter":        {"event"},
	"internal/vfs":  {},
	"stream":        {"event", "internal/vfs"},
	"store":         {"event", "filter", "internal/vfs"},
	"ingest":        {"event", "stream", "internal/problem"},
	"ingest/redact": {"event", "filter"},
	"index":         {"event", "stream", "store"},
	"ui":            {},
	"access/oidc":   {},
	"audit":         {"access", "event"},
	"access":        {"event", "filter", "internal/state"},
	"query":         {"access", "event", "filter", "store"},
	"api":           {"access", "access/gate", "access/keyring", "audit", "event", "filter", "store", "store/column", "store/parquet", "query", "index", "internal/problem", "internal/saved"},
	"importer":      {"event"},
	"internal":      {"event", "internal"},
	"internal/sim":  {"*"},
	"cmd":           {"*"},
	"bench":         {"event", "internal"},
}

func TestStyle(t *testing.T) {
	root := "../.."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			check(t, path, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, path, rel string) {
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	test := strings.HasSuffix(rel, "_test.go")
	if n := strings.Count(string(src), "\n"); n > maxFile && !test {
		t.Errorf("%s has %d lines; at most %d", rel, n, maxFile)
	}
	limit := maxFunc
	if test || strings.HasSuffix(strings.Split(rel, "/")[len(strings.Split(rel, "/"))-2], "test") {
		limit = maxTestTable
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		if n := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1; n > limit {
			t.Errorf("%s: %s has %d lines; at most %d", rel, f.Name.Name, n, limit)
		}
	}
	if !test {
		checkImports(t, rel, file)
	}
}

func checkImports(t *testing.T, rel string, file *ast.File) {
	stage, allowed := "", []string(nil)
	for s, a := range mayImport {
		if strings.HasPrefix(rel, s+"/") && len(s) > len(stage) {
			stage, allowed = s, a
		}
	}
	if stage == "" {
		t.Errorf("%s is in a folder that the layout does not know", rel)
		return
	}
	if strings.Contains(rel, "test/") { // contract suites may use what they hold to the contract
		return
	}
	for _, imp := range file.Imports {
		name, ours := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), module+"/")
		if !ours || slices.Contains(allowed, "*") || name == stage || strings.HasPrefix(name, stage+"/") {
			continue
		}
		if !slices.ContainsFunc(allowed, func(a string) bool { return name == a || a == "internal" && strings.HasPrefix(name, "internal/") }) {
			t.Errorf("%s imports %s; %s may import %v", rel, name, stage, allowed)
		}
	}
}
