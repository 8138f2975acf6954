package ui

import (
	"io/fs"
	"os/exec"
	"path"
	"strings"
	"testing"
)

func TestPackScript(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"  const a = 1; // one\n\n\n  // two\n  let b = a;", "const a=1;let b=a;\n"},
		{"return /* why */ x", "return x\n"},
		{"a + +b; a - -b; a++ + b", "a+ +b;a- -b;a++ +b\n"},
		{`"//  not" + '/* nor  */'`, `"//  not"+'/* nor  */'` + "\n"},
		{`"\"  //" + x`, `"\"  //"+x` + "\n"},
		{"`a  ${ f(\"}\", `b  ${c}`, {d: 1}) }  //e` + x", "`a  ${ f(\"}\", `b  ${c}`, {d: 1}) }  //e`+x\n"},
		{`s.replace(/[/ "]  +/g, " ") / 2`, `s.replace(/[/ "]  +/g," ")/ 2` + "\n"},
		{`const R = /^(a  b)\/$/u, n = (a) / b / c;`, `const R=/^(a  b)\/$/u,n=(a)/ b/ c;` + "\n"},
		{"return /x  y/.test(s)", "return/x  y/.test(s)\n"},
		{"if (/a/ in b) c", "if(/a/ in b)c\n"},
		{"f()\n(g)", "f()\n(g)\n"},
		{"if (a) {\n  b(\n    c,\n    d\n  )\n}\ne", "if(a){b(c,d\n)}\ne\n"},
		{"{ a = 1; b(c(d)); }", "{a=1;b(c(d))}\n"},
		{"{ notify(a); }", "{notify(a)}\n"},
		{"{ if (f(a)); }", "{if(f(a));}\n"},
		{"{ a = b; } { return; }", "{a=b}{return}\n"},
		{"{ while (a\n) ; }", "{while(a\n);}\n"},
		{"{ for (;;); }", "{for(;;);}\n"},
		{"{ for await (const a of b); }", "{for await(const a of b);}\n"},
		{"return\na", "return\na\n"},
	} {
		got := string(packScript([]byte(tt.text)))
		if got != tt.want {
			t.Errorf("%s\nbecomes %q\nwant    %q", tt.text, got, tt.want)
		}
		if again := string(packScript([]byte(got))); again != got {
			t.Errorf("packed again it becomes %q", again)
		}
	}
}

func TestPackStyle(t *testing.T) {
	const text = "/* why */\n.a > .b, .c :hover {\n  width: calc(100% - 0.5em);\n  margin: 0 10.5px 0.5px;\n  content: \"a:  b;\";\n}\n@media (min-width: 10px) {\n  a { b: c; }\n}\n"
	const want = ".a>.b,.c :hover{width:calc(100% - .5em);margin:0 10.5px .5px;content:\"a:  b;\"}@media (min-width:10px){a{b:c}}"
	if got := string(packStyle([]byte(text))); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// Every file of the page means the same packed: it has all of its words and strings,
// and a JavaScript engine, where there is one, reads it.
func TestPackKeepsTheCode(t *testing.T) {
	node, _ := exec.LookPath("node")
	squeeze := func(s string) string {
		return strings.ReplaceAll(strings.Join(strings.Fields(s), ""), ";}", "}")
	}
	names, err := fs.Glob(files, "page/*.js")
	if err != nil || len(names) < 10 {
		t.Fatal(len(names), err)
	}
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		packed := string(packScript(text))
		var code strings.Builder
		for line := range strings.SplitSeq(string(text), "\n") {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "//") {
				code.WriteString(line)
			}
		}
		if len(packed) < len(code.String())/2 {
			t.Errorf("%s: %d of %d bytes are left", name, len(packed), len(text))
		}
		for literal := range strings.SplitSeq(code.String(), `"`) {
			if len(literal) < 40 && !strings.ContainsAny(literal, "/ `\\") && !strings.Contains(squeeze(packed), squeeze(literal)) {
				t.Errorf("%s: %q is lost", name, literal)
			}
		}
		if node == "" {
			continue
		}
		cmd := exec.CommandContext(t.Context(), node, "--input-type=module", "--check")
		cmd.Stdin = strings.NewReader(packed)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s, packed: %v\n%s", path.Base(name), err, out)
		}
	}
}
