// Package sim simulates the whole pipeline: publishers, ingest, the stream, the
// index, the store and the queries over it, on a disk that fails and crashes, in
// virtual time. What comes out is compared with a model that is a plain list.
//
// # How a run goes
//
// A run is one seed. The real components are wired as cmd/daybook wires them, in
// a testing/synctest bubble, over a [vfs.Mem]. Every operation on the file system
// and every call from one stage to another waits for its turn: when all
// goroutines wait, the scheduler gives one of them its turn, or lets time pass,
// or has a client do something, or cuts the power, kills the process, or restarts
// it. An operation that gets its turn may be made to fail. All of this the seed
// decides; so do the sizes, the habits of the clients and what is slow.
//
// At the end the disk works, the publishers come back until everything is
// acknowledged, and an auditor compares what the queries say with the model,
// before and after a restart.
//
// # What makes a run repeatable
//
// One goroutine runs at a time until it waits for its next turn, and those who
// wait are put in the order of what they wait for and of their numbers. What a turn
// wakes inside a component (who shares a commit, a loop that was kicked) touches
// nothing that another could see before it waits for a turn, too. For that, locks
// that are held over I/O are a [vfs.Mutex]: synctest does not see that a goroutine
// waits for a sync.Mutex. What is left to chance shows nowhere: the identities of
// logs, the seeds of hash tables (an identity filter errs once in 65,536 lookups,
// and then a file is read in vain), and the jitter of retries, which is shorter
// than the steps in which time passes. The tests run on one processor: the store
// reads its segments one after the other then, and goroutines are numbered as they
// are started. A test runs seeds twice and compares their traces.
//
// # To look further
//
//	go test ./internal/sim -run Pipeline -sim.seeds 1000000 -timeout 0 -v    all processors
//	go test ./internal/sim -run Pipeline -sim.seed 4711 -v                   one seed, with its trace
//	go test ./internal/sim -run Every -sim.every 100 -timeout 0 -v           each operation in turn
package sim
