// Package drivertest is the conformance suite of [blob.Driver]. Every driver
// passes [Run], over every kind of server that it is meant for.
//
//	func TestConformance(t *testing.T) {
//		drivertest.Run(t, func(t *testing.T) drivertest.Harness {
//			return drivertest.Harness{Driver: memblob.Open(memblob.Options{}), Class: blob.ClassContent}
//		})
//	}
//
// What a Harness says is not offered is skipped, with a word; what is neither
// offered nor declared missing fails.
package drivertest

import (
	"testing"

	"github.com/sparecloud/spare/internal/blob"
)

// Harness is a bucket to test, and what it can. The zero value of all but
// Driver and Class is a bucket that offers everything but versions.
type Harness struct {
	Driver blob.Driver // of an empty bucket, which is used by one test; Run closes it
	Other  blob.Driver // of another bucket at the same provider, for copies; Run closes it. nil = copies between buckets are skipped

	Class                 blob.Class // ClassContent or ClassUnique; else conditional writes are skipped
	NoConditionalDelete   bool
	NoConditionalCopy     bool // conditions on the target of a Copy
	NoConditionalComplete bool
	NoListUploads         bool

	Versions bool  // the bucket keeps versions
	MinPart  int64 // least size of a part that is not the last, bytes; 0 = any
	Modified bool  // the provider's clock is that of this machine
	Slow     bool  // the server is far away: no large listing, fewer rounds

	Refuses func(key string) bool // keys that the server does not take; it must say so. nil = it takes all
	Tree    bool                  // the server keeps keys as paths: a key excludes keys below it
}

// test is one test and why a bucket may be spared it.
type test struct {
	name string
	run  func(t *testing.T, h Harness)
	skip func(h Harness) string // what is not offered, or ""; nil = all buckets must pass
}

// Run tests the buckets that open gives against the contract.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, tests := range [][]test{objectTests, failureTests, conditionTests, listTests, copyTests, multipartTests, versionTests, concurrencyTests} {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				h := open(t)
				t.Cleanup(func() { shut(t, h.Driver, h.Other) })
				if tt.skip != nil {
					if what := tt.skip(h); what != "" {
						t.Skip("this bucket does not offer " + what)
					}
				}
				tt.run(t, h)
			})
		}
	}
}

func shut(t *testing.T, drivers ...blob.Driver) {
	for _, d := range drivers {
		if d == nil {
			continue
		}
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func unlessConditional(h Harness) string {
	if !h.Class.Heads() {
		return "conditional writes"
	}
	return ""
}

func unless(offered func(h Harness) bool, what string) func(Harness) string {
	return func(h Harness) string {
		if offered(h) {
			return ""
		}
		return what
	}
}

// takes says whether the server takes a key.
func (h Harness) takes(key string) bool { return h.Refuses == nil || !h.Refuses(key) }
