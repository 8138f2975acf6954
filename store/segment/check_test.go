package segment

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store/storetest"
)

// TestCheckManifest: what the manifest says of a segment must be so, whatever its
// checksum says.
func TestCheckManifest(t *testing.T) {
	files, segments, _ := small(t)
	victim := segments[1].File
	tests := []struct {
		name string
		lie  func(m *manifest, x *meta)
		want string // reason; "": sound
	}{
		{"nothing", func(*manifest, *meta) {}, ""},
		{"a wider piece of the stream", func(m *manifest, x *meta) { m.Reached[0] += 9; m.Segments[2].To = m.Reached }, ""},
		{"its least time", func(_ *manifest, x *meta) { x.MinTime++ }, "another time of its events"},
		{"when it was received", func(_ *manifest, x *meta) { x.MaxReceived-- }, "were received"},
		{"its greatest identity", func(_ *manifest, x *meta) { x.MaxV7[3]-- }, "identities"},
		{"its order", func(_ *manifest, x *meta) { x.Rising = !x.Rising }, "order"},
		{"where it begins", func(_ *manifest, x *meta) { x.From = event.Positions{x.From[0] + 1} }, "outside of the segment's piece"},
		{"how many rows it has", func(_ *manifest, x *meta) { x.Parquet.Rows-- }, "rows in row groups"},
		{"another segment's file", func(m *manifest, x *meta) { x.Parquet = m.Segments[0].Parquet }, "bytes, not"},
		{"that it is damaged, too", func(m *manifest, x *meta) {
			m.Damaged = []lost{{File: "9.parquet", Reason: "rot", From: x.From, To: x.To}}
		}, "overlap"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := decodeManifest(files[manifestName])
			if err != nil {
				t.Fatal(err)
			}
			test.lie(m, &m.Segments[1])
			b, err := m.encode()
			if err != nil {
				t.Fatal(err)
			}
			found := checks(t, folder(t, files, manifestName, b)).Findings
			if test.want == "" && len(found) > 0 {
				t.Errorf("found %+v", found)
			}
			if test.want != "" && (len(found) == 0 || !strings.Contains(found[0].Reason, test.want) || found[0].File != victim && found[0].File != manifestName) {
				t.Errorf("found %+v, want %q", found, test.want)
			}
		})
	}
}

// TestCheckFindings: a finding says what the file held, and files that nothing
// names are told apart.
func TestCheckFindings(t *testing.T) {
	files, segments, _ := small(t)
	x := segments[1]
	set := func(name string, b []byte) map[string][]byte {
		changed := map[string][]byte{name: b}
		for n, whole := range files {
			if n != name {
				changed[n] = whole
			}
		}
		return changed
	}
	without := func(name string) map[string][]byte {
		changed := set(name, nil)
		delete(changed, name)
		return changed
	}
	piece := Finding{File: x.File, Offset: -1, Events: 64, From: x.From, To: x.To, MinTime: x.MinTime, MaxTime: x.MaxTime}
	kept := piece
	kept.Kind = Kept
	as := func(f Finding, name string) Finding { f.File = name; return f }
	all := Finding{File: manifestName, Offset: -1, Events: 192, From: event.Positions{0}, To: event.Positions{192},
		MinTime: slices.MinFunc(segments, byMinTime).MinTime, MaxTime: slices.MaxFunc(segments, byMaxTime).MaxTime}
	tests := []struct {
		name      string
		files     map[string][]byte
		want      []Finding
		leftovers []string
	}{
		{"a segment is missing", without(x.File), []Finding{piece}, nil},
		{"files of a crash", set("000000000099.parquet", files[x.File]), nil, []string{"000000000099.parquet"}},
		{"a file being written", set("000000000099.parquet.tmp", nil), nil, []string{"000000000099.parquet.tmp"}},
		{"a foreign file", set("notes.txt", nil), nil, nil},
		{"a segment that was set aside and restored", set("000000000077.parquet.damaged", files[x.File]), []Finding{as(kept, "000000000077.parquet.damaged")}, nil},
		{"the same, of which nothing is left", set("000000000077.parquet.damaged", nil), []Finding{{File: "000000000077.parquet.damaged", Offset: -1, Kind: Kept}}, nil},
		{"a segment that no manifest knew", set("000000000077.parquet.orphan", files[x.File]), []Finding{as(kept, "000000000077.parquet.orphan")}, nil},
		{"no manifest", without(manifestName), []Finding{all}, nil},
		{"no manifest and no segment", map[string][]byte{"LOCK": nil}, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := checks(t, folder(t, test.files, "", nil))
			for i := range r.Findings {
				r.Findings[i].Reason = ""
			}
			if !reflect.DeepEqual(r.Findings, test.want) || !slices.Equal(r.Leftovers, test.leftovers) {
				t.Errorf("found %+v, leftovers %q; want %+v, %q", r.Findings, r.Leftovers, test.want, test.leftovers)
			}
		})
	}
	if _, err := Check(t.Context(), vfs.NewMem(), crashDir, CheckOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func byMinTime(a, b meta) int { return int(a.MinTime - b.MinTime) }
func byMaxTime(a, b meta) int { return int(a.MaxTime - b.MaxTime) }

// TestCheckIdentities: an identity that is there twice is found, unless so much
// time lies between the two that it means two events. An ID that two tenants use is
// none.
func TestCheckIdentities(t *testing.T) {
	for _, test := range []struct {
		name   string
		tenant string // "": the same
		twice  bool   // each comes twice
		later  time.Duration
		want   int64 // events that are one too many
	}{
		{"at once", "", false, 0, 64},
		{"days later", "", false, window - 1, 64},
		{"long after", "", false, window, 0},
		{"another tenant's", "other", false, 0, 0},
		{"another tenant's, twice", "other", true, 0, 32},
	} {
		t.Run(test.name, func(t *testing.T) {
			fsys := vfs.NewMem()
			s := mustOpen(t, fsys, crashDir, crashOptions)
			st := newStream(2, 64)
			for i := range st.batches[1] {
				e, first := &st.batches[1][i], &st.batches[0][i]
				first.ID, first.TenantID = event.ID{0: byte(i), 6: 0x70}, "acme"
				if test.twice {
					first = &st.batches[0][i/2]
				}
				e.ID, e.TenantID = first.ID, cmp.Or(test.tenant, first.TenantID)
				e.ReceivedAt = first.ReceivedAt + int64(test.later)
			}
			if err := errors.Join(st.feed(t.Context(), s), s.Flush(withRun(t, s)), s.Close()); err != nil {
				t.Fatal(err)
			}
			found := checks(t, fsys).Findings
			if test.want == 0 && len(found) > 0 || test.want > 0 && (len(found) != 1 || found[0].Events != test.want || !strings.Contains(found[0].Reason, "identity")) {
				t.Errorf("found %+v", found)
			}
		})
	}
}

// TestCheckIdentitiesInPasses compares range by range what does not fit at once.
func TestCheckIdentitiesInPasses(t *testing.T) {
	fsys := vfs.NewMem()
	s := mustOpen(t, fsys, crashDir, crashOptions)
	st := newStream(6, 64)
	st.batches[4][9].ID, st.batches[4][9].TenantID = st.batches[1][5].ID, st.batches[1][5].TenantID
	st.batches[4][9].ReceivedAt = st.batches[1][5].ReceivedAt
	if err := errors.Join(st.feed(t.Context(), s), s.Flush(withRun(t, s)), s.Close()); err != nil {
		t.Fatal(err)
	}
	c := &checker{ctx: t.Context(), fs: fsys, dir: crashDir, done: map[string]bool{}}
	for i := range 3 * idsPerPass / sampleEvery { // three ranges and a rest
		c.sample = append(c.sample, st.all[i%len(st.all)].ID)
	}
	for _, x := range s.manifest.Segments {
		c.done[x.File] = true
	}
	if err := c.identities(s.manifest); err != nil || len(c.report.Findings) != 1 || c.report.Findings[0].Events != 1 {
		t.Errorf("found %+v, %v", c.report.Findings, err)
	}
}

// TestCheckWhileInUse checks a store again and again while it freezes, merges and
// drops segments, and finds nothing.
func TestCheckWhileInUse(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, vfs.OS(), dir, Options{HeadRows: 256, RetainBytes: 300_000})
	t.Cleanup(func() { s.Close() })
	withRun(t, s)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		src := storetest.NewSource(rand.New(rand.NewPCG(3, 3)), 1)
		for ctx.Err() == nil {
			rows, reached := src.Next(20)
			if err := errors.Join(s.Append(ctx, rows, reached), s.Flush(ctx)); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for n := 0; n < 20 || s.Stats().Compactions < 5 || s.Stats().Expired == 0; n++ {
		r, err := Check(t.Context(), vfs.OS(), dir, CheckOptions{})
		if err != nil || len(r.Findings) > 0 {
			t.Errorf("found %+v, %v", r, err)
			break
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
