package browsertest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/daybook-log/daybook/internal/client"
	"github.com/daybook-log/daybook/internal/tooltest"
)

var (
	screenshots = flag.String("screenshots", "", "`folder` for pictures of every view")
	measured    = flag.Int("events", 0, "how many `events` to measure the page over")
)

// within bounds how long a condition may take to hold, on a machine that does much
// else.
const within = 90 * time.Second

// chromium is the one browser, and daybook the program, of all tests.
var (
	chromium process
	daybook  program
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	chromium.stop()
	daybook.remove()
	os.Exit(code)
}

// process is the browser. It is started by the first test that wants it.
type process struct {
	once sync.Once
	ctx  context.Context
	end  []func()
	err  error
}

// context returns what tabs are made of.
func (b *process) context(t testing.TB) context.Context {
	t.Helper()
	b.once.Do(func() { b.err = b.start() })
	tooltest.Fail(t, b.err)
	return b.ctx
}

func (b *process) start() error {
	var exe string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && exe == "" {
			exe = path
		}
	}
	if exe == "" {
		return tooltest.MissingError{Err: errors.New("chromium is not installed; on Debian it is in the package chromium")}
	}
	profile, err := os.MkdirTemp("", "browsertest-")
	if err != nil {
		return err
	}
	b.end = append(b.end, func() { os.RemoveAll(profile) })
	ctx, end := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(exe), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("blink-settings", "primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"), // a mouse
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1280, 900))...)
	b.end = append(b.end, end)
	b.ctx, end = chromedp.NewContext(ctx)
	b.end = append(b.end, end)
	return chromedp.Do(b.ctx)
}

func (b *process) stop() {
	for i := len(b.end) - 1; i >= 0; i-- {
		b.end[i]()
	}
}

// program is daybook as it is built from this source.
type program struct {
	once sync.Once
	dir  string
	exe  string
	err  error
}

func (p *program) path(t testing.TB) string {
	t.Helper()
	p.once.Do(func() {
		// What is built is an input of these tests: looking at it lets the go command
		// know that they must run again when it has changed.
		p.err = filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
				return filepath.SkipDir
			}
			if err == nil && !d.IsDir() {
				_, err = os.Stat(path)
			}
			return err
		})
		if p.err != nil {
			return
		}
		if p.dir, p.err = os.MkdirTemp("", "browsertest-"); p.err != nil {
			return
		}
		p.exe = filepath.Join(p.dir, "daybook")
		if out, err := exec.Command("go", "build", "-o", p.exe, "../../cmd/daybook").CombinedOutput(); err != nil {
			p.err = fmt.Errorf("build daybook: %w\n%s", err, out)
		}
	})
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.exe
}

func (p *program) remove() {
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

// server is a running daybook.
type server struct {
	t    testing.TB
	url  string
	data string
	args []string
	cmd  *exec.Cmd
	*client.Client
}

// serve starts a server that is killed when the test ends.
func serve(t testing.TB, args ...string) *server {
	t.Helper()
	s := newServer(t, args...)
	s.start()
	return s
}

// newServer is serve of a server that does not run yet.
func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	chromium.context(t) // skips before any work is done
	s := &server{t: t, data: filepath.Join(t.TempDir(), "data"), args: args, url: "http://" + freeAddr(t)}
	t.Cleanup(s.kill)
	s.as("")
	return s
}

// start starts the server, again on the same port after kill.
func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(daybook.path(s.t), append([]string{"serve", "--listen", strings.TrimPrefix(s.url, "http://"), "--data", s.data, "--log-level", "warn"}, s.args...)...)
	s.cmd.Stderr = printed{s.t}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "DAYBOOK_") {
			s.cmd.Env = append(s.cmd.Env, kv)
		}
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, "the server is ready", func() error {
		resp, err := http.Get(s.url + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// startWithKeys starts the server with its first key, an admin's, which is returned and
// is its client's.
func (s *server) startWithKeys() (admin string) {
	s.t.Helper()
	admin = s.run("keys", "create", "--admin", "--name", "root", "--data", s.data)
	s.start()
	s.as(admin)
	return admin
}

// kill ends the server as a crash would.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.cmd = nil
}

// as makes the server's client one that has a key.
func (s *server) as(key string) {
	c, err := client.NewWith(s.url, client.Options{Key: key})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Client = c
}

// publish publishes events, one a line.
func (s *server) publish(ndjson string) {
	s.t.Helper()
	result, err := s.Publish(s.t.Context(), []byte(ndjson), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range result.Results {
		if len(r.Errors) > 0 {
			s.t.Fatalf("event %d was rejected: %v", r.Index, r.Errors)
		}
	}
}

// run runs a command of the program and returns what it prints.
func (s *server) run(args ...string) string {
	s.t.Helper()
	out, err := exec.Command(daybook.path(s.t), args...).Output()
	if err != nil {
		s.t.Fatalf("daybook %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

// printed puts what a server prints in the test's log.
type printed struct{ t testing.TB }

func (p printed) Write(b []byte) (int, error) {
	p.t.Log(strings.TrimRight(string(b), "\n"))
	return len(b), nil
}

// await waits until check has no complaint.
func await(t testing.TB, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("it did not come about that %s: %v", what, err)
}
