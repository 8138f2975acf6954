// Package storetest holds implementations of store.Store to one contract: what
// a store answers is compared with a plain slice of events and filter.Match.
package storetest
