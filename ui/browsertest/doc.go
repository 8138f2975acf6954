// Package browsertest has the tests of the page in a real browser: Chromium, driven
// over its debugging protocol, before the real program. They type, click, drag, go
// back and reload as people do, and in every one of them the browser tells of what
// must never happen: a dialog, an exception, an error on the console, a violation of
// the page's policy, an answer that is an error, a request to another host.
//
// They take Chromium, and for axe-core Node.js with npm. Without them they are skipped,
// but fail in CI.
//
//	go test ./ui/browsertest                              all of it
//	go test ./ui/browsertest -run Rows -artifacts         with a picture of where a test failed
//	go test ./ui/browsertest -run Screenshots -screenshots /tmp/pictures
//	go test ./ui/browsertest -run Measure -events 5000000 -v
package browsertest
