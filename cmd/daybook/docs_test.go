package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestDocsNameWhatExists reads every page and checks that each command, flag,
// environment variable, make target, path and page that it names is there.
func TestDocsNameWhatExists(t *testing.T) {
	root := "../.."
	pages := []string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	if len(pages) < 5 {
		t.Fatalf("only %d pages found: %v", len(pages), pages)
	}
	known := knownNames(t, root)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: link to %s, which does not exist", filepath.Base(page), m[1])
			}
		}
		for _, problem := range known.check(root, string(text)) {
			t.Errorf("%s: %s", filepath.Base(page), problem)
		}
	}
}

type names struct {
	flags   map[string][]string // command → its flags
	env     map[string]bool
	targets map[string]bool
}

func knownNames(t *testing.T, root string) *names {
	n := &names{flags: map[string][]string{}, env: map[string]bool{"DAYBOOK_SERVER": true, "DAYBOOK_CONFIG": true, "DAYBOOK_KEY": true}, targets: map[string]bool{}}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		name := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "daybook"), " ")
		n.flags[name] = []string{"help"}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			n.flags[name] = append(n.flags[name], f.Name)
			if _, rest, ok := strings.Cut(f.Usage, "[$"); ok {
				n.env[strings.TrimSuffix(rest, "]")] = true
			}
		})
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	cmd := (&cli{}).root()
	cmd.InitDefaultCompletionCmd()
	cmd.InitDefaultHelpCmd()
	walk(cmd)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^([a-z]+):`).FindAllStringSubmatch(string(makefile), -1) {
		n.targets[m[1]] = true
	}
	return n
}

var (
	codeSpan    = regexp.MustCompile("`([^`\n]+)`")
	codeBlock   = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```")
	commandLine = regexp.MustCompile(`(?:^|[|;&(]\s*|\$ )(?:\./|go run \./cmd/)?daybook +([a-z]+(?:-[a-z]+)*)([^|;&\n#]*)`)
	flagName    = regexp.MustCompile(`(?:^|[\s(\[])--([a-z][a-z-]+)`)
	envName     = regexp.MustCompile(`\bDAYBOOK_[A-Z_]+\b`)
	makeTarget  = regexp.MustCompile(`^(?:\$ )?make ([a-z]+)`)
	link        = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	pathLike    = regexp.MustCompile(`^(?:\./)?[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*/?$`)
)

// check returns what a page names that does not exist.
func (n *names) check(root, text string) (problems []string) {
	bad := func(what string) { problems = append(problems, what+" does not exist") }
	blocks := codeBlock.FindAllStringSubmatch(text, -1)
	prose := codeBlock.ReplaceAllString(text, "")
	for _, m := range envName.FindAllString(text, -1) {
		if !n.env[m] {
			bad("variable " + m)
		}
	}
	var lines []string
	for _, b := range blocks {
		lines = append(lines, strings.Split(strings.ReplaceAll(b[1], "\\\n", " "), "\n")...)
	}
	for _, m := range codeSpan.FindAllStringSubmatch(prose, -1) {
		lines = append(lines, m[1])
		for _, f := range flagName.FindAllStringSubmatch(m[1], -1) {
			if !strings.HasPrefix(m[1], "curl") && !n.anyFlag(f[1]) {
				bad("flag --" + f[1])
			}
		}
		if p := m[1]; pathLike.MatchString(p) && strings.Contains(p, "/") && topLevel(root, p) {
			if _, err := os.Stat(filepath.Join(root, p)); err != nil {
				bad("path " + p)
			}
		}
	}
	for _, line := range lines {
		if m := makeTarget.FindStringSubmatch(line); m != nil && !n.targets[m[1]] {
			bad("make target " + m[1])
		}
		for _, m := range commandLine.FindAllStringSubmatch(line, -1) {
			name := m[1]
			if words := strings.Fields(m[2]); len(words) > 0 && n.flags[name+" "+words[0]] != nil {
				name += " " + words[0]
			}
			flags, ok := n.flags[name]
			if !ok {
				bad("command daybook " + name)
				continue
			}
			for _, f := range flagName.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(flags, f[1]) {
					bad("flag --" + f[1] + " of daybook " + name)
				}
			}
		}
	}
	return problems
}

func (n *names) anyFlag(name string) bool {
	for _, flags := range n.flags {
		if slices.Contains(flags, name) {
			return true
		}
	}
	return false
}

// topLevel reports whether a path begins at a folder of the project, so that a
// resource such as document/42 is not taken for a file.
func topLevel(root, p string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(p, "./"), "/")
	fi, err := os.Stat(filepath.Join(root, first))
	return err == nil && fi.IsDir()
}
