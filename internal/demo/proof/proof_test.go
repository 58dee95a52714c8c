package proof

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/objectload"
	"github.com/sparecloud/spare/internal/demo/shop"
)

var begin = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }

// Faults of the good evidence, in ms: cloud-a is dead from 6000 to 10000,
// cloud-b frozen from 16000 to 20000, control dead from 26000 on.
func goodFaults() []Fault {
	return []Fault{
		{Kind: Kill, Site: "cloud-a", At: at(6000), Sure: at(6001), Until: at(10000), Proof: Proof{
			PID: 100, Signal: 9, ServedBefore: []uint64{10, 20}, CounterAfter: Refused, ConnectAfter: Refused,
			BucketBefore: Answered, BucketAfter: Refused}},
		{Kind: Stop, Site: "cloud-b", At: at(16000), Sure: at(16001), Until: at(20000), Proof: Proof{
			PID: 200, States: "TT", ServedBefore: []uint64{10, 20}, CounterAfter: NoAnswer, ConnectAfter: NoAnswer,
			BucketBefore: Answered, BucketAfter: NoAnswer}},
		{Kind: KillControl, At: at(26000), Sure: at(26001), Until: at(28000), Proof: Proof{
			PID: 300, Gone: true, Successor: 301, StatusAt: at(26500)}},
	}
}

// good is the evidence of a demo in which all went well: 100 requests a second
// for 30 s, each of 5 ms, every fifth an order.
func good() Evidence {
	e := Evidence{Seed: 1, Began: begin, Ended: at(31000), LoadBegan: begin, LoadEnded: at(30000), Rate: 100, RTO: time.Second,
		Faults: goodFaults(), Logs: map[string][]shop.Record{}, Lookups: map[string]Finding{}}
	for n := range 3000 {
		r := load.Entry{N: n, Due: at(10 * n), Kind: load.KindPage, Status: 200, MS: 5, BodyOK: true, Outcome: load.OK, Cloud: serving(10 * n)}
		if n%5 == 0 {
			r.Kind, r.ID, r.Item, r.Qty, r.Status = load.KindOrder, fmt.Sprintf("o%d", n), 1, 2, 201
			o := shop.Order{ID: r.ID, Item: 1, Qty: 2}
			e.Logs[r.Cloud] = append(e.Logs[r.Cloud], shop.Record{Order: o, Via: shop.ViaFront})
			e.Logs["cloud-c"] = append(e.Logs["cloud-c"], shop.Record{Order: o, Via: shop.ViaPeer})
			e.Lookups[r.ID] = Found
		}
		e.Entries = append(e.Entries, r)
	}
	cause := []apiv1.Cause{{Kind: "site_down"}}
	e.Incidents = []apiv1.Incident{
		{ID: "i2", Site: "cloud-b", Opened: at(16100), Closed: at(21000), Causes: cause},
		{ID: "i1", Site: "cloud-a", Opened: at(6100), Closed: at(11000), Causes: cause},
	}
	e.Archive = goodArchive(e.Entries)
	return e
}

// goodArchive has 10 operations a second for 30 s, in rounds of four: an object
// is written, read, another one of two is deleted, all are listed. Besides, the
// receipts of the orders. Each cloud has everything.
func goodArchive(orders []load.Entry) Archive {
	a := Archive{Rate: 10, Disks: map[string]map[string]string{"cloud-a": {}, "cloud-b": {}, "cloud-c": {}}, RequestsBefore: 50, RequestsAfter: 5000}
	there := map[string]string{}
	op := func(ms int, e objectload.Entry) {
		e.N, e.Due, e.Began, e.MS, e.Outcome = len(a.Entries), at(ms), at(ms), 20, load.OK
		a.Entries = append(a.Entries, e)
	}
	for n := range 300 {
		key := fmt.Sprintf("load/%02d", n/4%20)
		switch n % 4 {
		case 0:
			there[key] = fmt.Sprint("sum", n)
			op(100*n, objectload.Entry{Op: objectload.Put, Key: key, SHA256: there[key]})
		case 1:
			op(100*n, objectload.Entry{Op: objectload.Get, Key: key, SHA256: there[key]})
		case 2:
			if n/4%2 == 1 {
				op(100*n, objectload.Entry{Op: objectload.Delete, Key: key})
				delete(there, key)
				break
			}
			op(100*n, objectload.Entry{Op: objectload.Get, Key: "load/99", Absent: true})
		case 3:
			op(100*n, objectload.Entry{Op: objectload.List, Key: "load/", Listed: slices.Sorted(maps.Keys(there))})
		}
	}
	for _, o := range orders {
		if o.Kind == load.KindOrder {
			there["orders/"+o.ID] = "receipt " + o.ID
			op(30000, objectload.Entry{Op: objectload.Put, Key: "orders/" + o.ID, SHA256: "receipt " + o.ID})
		}
	}
	for _, key := range objectload.Replay(a.Entries).Keys() {
		sum := there[key]
		a.Final = append(a.Final, objectload.Entry{Op: objectload.Get, Key: key, SHA256: sum, Absent: sum == "", Outcome: load.OK})
		if sum != "" {
			for _, disk := range a.Disks {
				disk[key] = sum
			}
		}
	}
	a.Final = append(a.Final, objectload.Entry{Op: objectload.List, Listed: slices.Sorted(maps.Keys(there)), Outcome: load.OK})
	return a
}

func serving(ms int) string {
	if ms >= 6000 && ms < 16000 {
		return "cloud-b"
	}
	return "cloud-a"
}

func TestGoodEvidencePasses(t *testing.T) {
	r := Judge(good())
	if !r.OK {
		t.Fatalf("broken: %q", r.Broken)
	}
	want := Orders{Acknowledged: 600, Found: 600}
	if d := cmp.Diff(want, r.Orders); d != "" {
		t.Error(d)
	}
	objects := Objects{Operations: 900, Acknowledged: 610, Readable: 610, Receipts: 600, Deleted: 10, P50MS: 20, P99MS: 20, LongestMS: 20, ProviderRequests: 4950}
	if d := cmp.Diff(objects, r.Objects); d != "" {
		t.Error(d)
	}
	if r.Faults[0].Proof.Written != 9 || r.Faults[0].Proof.Read != 10 {
		t.Errorf("meanwhile: %+v", r.Faults[0].Proof)
	}
	if r.Faults[0].Proof.Incident != "i1" || r.Faults[1].Proof.Incident != "i2" || r.Incidents[0].ID != "i1" {
		t.Errorf("incidents %+v, faults %+v", r.Incidents, r.Faults)
	}
}

// Each proof and each promise, taken away alone, must be missed.
func TestEveryMissingProofIsMissed(t *testing.T) {
	kill, stop, control := 0, 1, 2
	fault := func(i int, f func(*Fault)) func(*Evidence) { return func(e *Evidence) { f(&e.Faults[i]) } }
	entries := func(from, to int, f func(*load.Entry)) func(*Evidence) {
		return func(e *Evidence) {
			for i := range e.Entries {
				if ms := int(e.Entries[i].Due.Sub(begin).Milliseconds()); ms >= from && ms < to {
					f(&e.Entries[i])
				}
			}
		}
	}
	things := func(from, to int, op objectload.Op, f func(*objectload.Entry)) func(*Evidence) {
		return func(e *Evidence) {
			for i := range e.Archive.Entries {
				r := &e.Archive.Entries[i]
				if ms := int(r.Due.Sub(begin).Milliseconds()); ms >= from && ms < to && r.Op == op {
					f(r)
				}
			}
		}
	}
	fails := func(r *objectload.Entry) { r.Outcome = load.Failed }
	final := func(key string, f func(*objectload.Entry)) func(*Evidence) {
		return func(e *Evidence) {
			i := slices.IndexFunc(e.Archive.Final, func(r objectload.Entry) bool { return r.Key == key })
			f(&e.Archive.Final[i])
		}
	}
	answeredBy := func(cloud string) func(*load.Entry) { return func(r *load.Entry) { r.Cloud = cloud } }
	for _, c := range []struct {
		name   string
		spoil  func(*Evidence)
		reason string
	}{
		{"nothing was killed", func(e *Evidence) { e.Faults = e.Faults[1:] }, "kill: it never happened"},
		{"nothing was frozen", func(e *Evidence) { e.Faults = slices.Delete(e.Faults, 1, 2) }, "stop: it never happened"},
		{"control was left alone", func(e *Evidence) { e.Faults = e.Faults[:2] }, "kill_control: it never happened"},

		{"it ended by itself", fault(kill, func(f *Fault) { f.Proof.Signal = 0 }), "killed by signal 9"},
		{"it was asked to end", fault(kill, func(f *Fault) { f.Proof.Signal = 15 }), "killed by signal 9"},
		{"the dead still count", fault(kill, func(f *Fault) { f.Proof.CounterAfter = Answered }), "should be gone: answered"},
		{"nobody asked the dead to count", fault(kill, func(f *Fault) { f.Proof.CounterAfter = "" }), "should be gone: nobody asked"},
		{"the dead still answer", fault(kill, func(f *Fault) { f.Proof.ConnectAfter = Answered }), "should be refused: answered"},
		{"the dead hang", fault(kill, func(f *Fault) { f.Proof.ConnectAfter = NoAnswer }), "should be refused: no answer"},

		{"it runs on", fault(stop, func(f *Fault) { f.Proof.States = "RR" }), "as stopped throughout"},
		{"it was frozen for a moment", fault(stop, func(f *Fault) { f.Proof.States = "TS" }), "as stopped throughout"},
		{"nobody looked at its end", fault(stop, func(f *Fault) { f.Proof.States = "T" }), "as stopped throughout"},
		{"the frozen count", fault(stop, func(f *Fault) { f.Proof.CounterAfter = Answered }), "should not answer: answered"},
		{"the frozen answer", fault(stop, func(f *Fault) { f.Proof.ConnectAfter = Answered }), "should hang: answered"},
		{"it died instead", fault(stop, func(f *Fault) { f.Proof.ConnectAfter = Refused }), "should hang: refused"},

		{"it never served", fault(kill, func(f *Fault) { f.Proof.ServedBefore = []uint64{0, 0} }), "did not grow"},
		{"its counter was not read", fault(stop, func(f *Fault) { f.Proof.ServedBefore = nil }), "did not grow"},
		{"no time is known", fault(kill, func(f *Fault) { f.Sure = time.Time{} }), "from when to when"},
		{"no traffic on it before", entries(5000, 6000, answeredBy("cloud-c")), "kill cloud-a: it answered only 0 of"},
		{"a spare was broken", entries(15000, 16000, answeredBy("cloud-a")), "stop cloud-b: it answered only 0 of"},
		{"it goes on answering", entries(6010, 9000, answeredBy("cloud-a")), "sent after the fault"},
		{"it answers once", entries(9000, 9010, answeredBy("cloud-a")), "kill cloud-a: it answered 1 requests that were sent after"},
		{"it goes on answering, frozen", entries(16010, 17000, answeredBy("cloud-b")), "sent after the fault"},
		{"nobody takes over", entries(6000, 10000, func(r *load.Entry) { r.Outcome, r.Cloud = load.Failed, "" }), "others answered only 0 of"},

		{"no incident", func(e *Evidence) { e.Incidents = e.Incidents[:1] }, "kill cloud-a: Spare opened no incident"},
		{"an incident of before", func(e *Evidence) { e.Incidents[1].Opened = at(5000) }, "kill cloud-a: Spare opened no incident"},
		{"an incident of after", func(e *Evidence) { e.Incidents[1].Opened = at(10001) }, "kill cloud-a: Spare opened no incident"},
		{"an incident elsewhere", func(e *Evidence) { e.Incidents[0].Site = "cloud-c" }, "stop cloud-b: Spare opened no incident"},
		{"an incident left open", func(e *Evidence) { e.Incidents[0].Closed = time.Time{} }, "i2 (cloud-b) is not closed"},
		{"an incident without cause", func(e *Evidence) { e.Incidents[0].Causes = nil }, "names no cause"},

		{"control lives", fault(control, func(f *Fault) { f.Proof.Gone = false }), "300 is not gone"},
		{"control was not found", fault(control, func(f *Fault) { f.Proof.PID = 0 }), "is not gone"},
		{"control stays away", fault(control, func(f *Fault) { f.Proof.Successor = 0 }), "no other process"},
		{"control is the same", fault(control, func(f *Fault) { f.Proof.Successor = 300 }), "no other process"},
		{"control shows old state", fault(control, func(f *Fault) { f.Proof.StatusAt = at(25000) }), "never showed"},
		{"control died in the quiet", func(e *Evidence) {
			e.Entries = slices.DeleteFunc(e.Entries, func(r load.Entry) bool { return r.Due.After(at(26000)) })
		}, "no traffic around it"},

		{"one request failed", entries(3000, 3010, func(r *load.Entry) { r.Outcome = load.Failed }), "1 requests failed"},
		{"an outcome nobody knows", entries(3000, 3010, func(r *load.Entry) { r.Outcome = "" }), "1 requests failed"},
		{"nothing was sent", func(e *Evidence) { e.Entries = nil }, "only 0 requests"},
		{"half was sent", func(e *Evidence) { e.Entries = e.Entries[:1500] }, "only 1500 requests"},
		{"no time for load", func(e *Evidence) { e.LoadEnded = e.LoadBegan }, "requests were sent, of 0"},
		{"slow to switch", entries(6010, 7500, func(r *load.Entry) { r.MS = 300 }), "the objective is 1000"},

		{"no orders", entries(0, 30000, func(r *load.Entry) { r.Kind = load.KindPage }), "no order was acknowledged"},
		{"an order at one cloud", func(e *Evidence) { e.Logs["cloud-c"] = e.Logs["cloud-c"][1:] }, "order o0 is on disk at 1 clouds"},
		{"an order at none", func(e *Evidence) { e.Logs = nil }, "600 acknowledged orders are missing"},
		{"another order", func(e *Evidence) { e.Logs["cloud-c"][0].Qty = 9 }, "order o0 is on disk at 1 clouds"},
		{"twice at one cloud", func(e *Evidence) {
			e.Logs["cloud-a"] = append(e.Logs["cloud-a"], e.Logs["cloud-a"][0])
			e.Logs["cloud-c"] = e.Logs["cloud-c"][1:]
		}, "order o0 is on disk at 1 clouds"},
		{"an order that Spare cannot show", func(e *Evidence) { e.Lookups["o0"] = Absent }, "Spare says: absent"},
		{"an order that was not asked for", func(e *Evidence) { delete(e.Lookups, "o0") }, "Spare says: not known"},
		{"a POST arrived twice", func(e *Evidence) { e.Logs["cloud-b"] = append(e.Logs["cloud-b"], e.Logs["cloud-a"][0]) }, "1 times too often"},
		{"an unknown effect that stays unknown", func(e *Evidence) {
			e.Entries[0].Outcome = load.MaybeApplied
			delete(e.Lookups, "o0")
		}, "1 orders of unknown effect"},

		{"the bucket of the dead answers", fault(kill, func(f *Fault) { f.Proof.BucketAfter = Answered }), "its bucket should refuse connections: answered"},
		{"nobody asked the bucket of the dead", fault(kill, func(f *Fault) { f.Proof.BucketAfter = "" }), "its bucket should refuse connections: nobody asked"},
		{"the bucket of the frozen answers", fault(stop, func(f *Fault) { f.Proof.BucketAfter = Refused }), "to its bucket should hang: refused"},
		{"the bucket was dead before", fault(stop, func(f *Fault) { f.Proof.BucketBefore = Refused }), "its bucket did not answer before"},
		{"nothing is written meanwhile", things(6001, 10000, objectload.Put, fails), "kill cloud-a: no object was written while"},
		{"nothing is read meanwhile", things(16001, 20000, objectload.Get, fails), "stop cloud-b: no object was read while"},

		{"a put failed", things(2000, 2001, objectload.Put, fails), "1 operations on objects failed, the first of them: put load/05 at 12:00:02.000"},
		{"an outcome of an object that nobody knows", things(2000, 2001, objectload.Put, func(r *objectload.Entry) { r.Outcome = "" }), "1 operations on objects failed"},
		{"no objects", func(e *Evidence) { e.Archive.Entries = nil }, "only 0 operations on objects"},
		{"half the objects", func(e *Evidence) { e.Archive.Entries = e.Archive.Entries[:150] }, "only 150 operations on objects were done, of 270"},
		{"no rate of objects", func(e *Evidence) { e.Archive.Rate = 0 }, "operations on objects were done, of 0"},
		{"nothing was deleted", func(e *Evidence) {
			e.Archive.Entries = slices.DeleteFunc(e.Archive.Entries, func(r objectload.Entry) bool { return r.Op == objectload.Delete })
		}, "0 deleted: that proves nothing"},
		{"a stale read", things(2100, 2101, objectload.Get, func(r *objectload.Entry) { r.SHA256 = "sum0" }), "1 reads missed an acknowledged write, the first of them: get load/05"},
		{"a read that finds nothing", things(2100, 2101, objectload.Get, func(r *objectload.Entry) { r.SHA256, r.Absent = "", true }), "there is no such object"},
		{"a list that lacks one", things(2300, 2301, objectload.List, func(r *objectload.Entry) { r.Listed = r.Listed[1:] }), "1 reads missed an acknowledged write, the first of them: list load/"},
		{"a list with a deleted one", things(8300, 8301, objectload.List, func(r *objectload.Entry) { r.Listed = append(r.Listed, "load/01") }), "1 objects showed that were deleted, or never acknowledged: load/01"},
		{"a read from nowhere", things(200, 201, objectload.Get, func(r *objectload.Entry) { r.SHA256, r.Absent = "x", false }), "1 objects showed"},

		{"an object that Spare lost", final("load/14", func(r *objectload.Entry) { r.SHA256, r.Absent = "", true }), "object load/14 is on disk at 3 clouds, Spare says: there is no such object and lists it"},
		{"other bytes at the end", final("load/14", func(r *objectload.Entry) { r.SHA256 = "sum56" }), "object load/14 is on disk at 3 clouds, Spare says: 0 bytes with SHA-256 sum56"},
		{"an object that cannot be read", final("load/14", func(r *objectload.Entry) { r.Outcome, r.Status = load.Failed, 503 }), "Spare says: status 503"},
		{"an object that was not looked up", func(e *Evidence) { e.Archive.Final = e.Archive.Final[1:] }, "Spare says: nobody asked"},
		{"an object that is not listed", final("", func(r *objectload.Entry) { r.Listed = r.Listed[1:] }), "object load/00 is on disk at 3 clouds, Spare gives it and does not list it"},
		{"no last list", func(e *Evidence) { e.Archive.Final = e.Archive.Final[:len(e.Archive.Final)-1] }, "could not be listed when all was over"},
		{"an object at one cloud", func(e *Evidence) {
			e.Archive.Disks["cloud-a"]["load/14"] = "torn"
			delete(e.Archive.Disks["cloud-c"], "load/14")
		}, "object load/14 is on disk at 1 clouds, Spare gives it and lists it"},
		{"a deleted object is back", final("load/15", func(r *objectload.Entry) { r.SHA256, r.Absent = "sum60", false }), "1 objects showed that were deleted, or never acknowledged: load/15"},
		{"a deleted object is listed", final("", func(r *objectload.Entry) { r.Listed = append(r.Listed, "load/15") }), "never acknowledged: load/15"},
		{"a deleted object that nobody can ask for", final("load/15", func(r *objectload.Entry) { r.Outcome, r.Status = load.Failed, 503 }), "whether the deleted object load/15 is gone: status 503"},
		{"an order without receipt", func(e *Evidence) {
			e.Archive.Entries = slices.DeleteFunc(e.Archive.Entries, func(r objectload.Entry) bool { return r.Key == "orders/o5" })
		}, "1 acknowledged orders have no receipt in the archive: o5"},
		{"nobody counted requests", func(e *Evidence) { e.Archive.RequestsAfter = 0 }, "did not say how many requests"},

		{"a step was not done", func(e *Evidence) { e.Interrupted = []string{"the disk is full"} }, "the disk is full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := good()
			c.spoil(&e)
			r := Judge(e)
			if r.OK {
				t.Fatal("passed")
			}
			if !slices.ContainsFunc(r.Broken, func(s string) bool { return strings.Contains(s, c.reason) }) {
				t.Errorf("broken: %q; want %q", r.Broken, c.reason)
			}
		})
	}
}

// Spare may hold several sites' trouble to be one incident.
func TestAnIncidentOfSeveralSitesCountsForEachThatItBlames(t *testing.T) {
	e := good()
	e.Incidents[1].Site, e.Incidents[1].Causes = "", []apiv1.Cause{{Kind: "x"}, {Kind: "y", Site: "cloud-a"}}
	if r := Judge(e); !r.OK || r.Incidents[0].Site != "cloud-a" {
		t.Errorf("broken: %q, incidents %+v", r.Broken, r.Incidents)
	}
}

func TestUnknownEffectIsReconciledAndNoPromise(t *testing.T) {
	e := good()
	e.Entries[0].Outcome, e.Entries[5].Outcome = load.MaybeApplied, load.MaybeApplied
	e.Lookups["o5"] = Absent
	r := Judge(e)
	if !r.OK {
		t.Fatalf("broken: %q", r.Broken)
	}
	want := Orders{Acknowledged: 598, Found: 598, MaybeAppliedFound: 1}
	if d := cmp.Diff(want, r.Orders); d != "" || r.Requests.MaybeApplied != 2 {
		t.Errorf("%s, requests %+v", d, r.Requests)
	}
}

func TestAnObjectOfUnknownEffectIsWhatTheLastReadSays(t *testing.T) {
	e := good()
	for i := range e.Archive.Entries {
		if r := &e.Archive.Entries[i]; r.Op == objectload.Put && r.Key == "orders/o5" {
			r.Outcome = load.MaybeApplied
		}
	}
	if r := Judge(e); !r.OK || r.Objects.MaybeApplied != 1 || r.Objects.Receipts != 600 {
		t.Errorf("broken: %q, %+v", r.Broken, r.Objects)
	}
	for i := range e.Archive.Final {
		r := &e.Archive.Final[i]
		if r.Key == "orders/o5" {
			r.SHA256, r.Absent = "", true
		}
		r.Listed = slices.DeleteFunc(r.Listed, func(k string) bool { return k == "orders/o5" })
	}
	if r := Judge(e); !r.OK || r.Objects.Receipts != 599 || r.Objects.Missing != 0 {
		t.Errorf("broken: %q, %+v", r.Broken, r.Objects)
	}
}

func TestFeltIsWhatClientsSaw(t *testing.T) {
	f := goodFaults()[0]
	slow := func(from, to int, took float64) func(int, *load.Entry) {
		return func(ms int, r *load.Entry) {
			if ms >= from && ms < to {
				r.MS = took
			}
		}
	}
	fails := func(from, to int) func(int, *load.Entry) {
		return func(ms int, r *load.Entry) {
			if ms >= from && ms < to {
				r.Outcome = load.Failed
			}
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(ms int, r *load.Entry)
		want  Felt
		ok    bool
	}{
		{"nobody felt it", func(int, *load.Entry) {}, Felt{15, 0}, true}, // the first answer of another cloud
		{"slow for a while", slow(6000, 6300, 200), Felt{290, 200}, true},
		{"under way at the fault", slow(5990, 6000, 250), Felt{15, 250}, true},
		{"over before the fault", slow(5900, 5910, 60), Felt{15, 0}, true},
		{"an unrelated stall later", slow(8000, 8010, 200), Felt{15, 0}, true},
		{"a failure and then calm", fails(6100, 6110), Felt{100, 5}, true},
		{"nobody ever serves", fails(6000, 10000), Felt{}, false},
	} {
		e := good()
		for i := range e.Entries {
			c.spoil(int(e.Entries[i].Due.Sub(begin).Milliseconds()), &e.Entries[i])
		}
		felt, ok := Feel(e.Entries, f)
		if ok != c.ok || (ok && felt != c.want) {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.name, felt, ok, c.want, c.ok)
		}
	}
}

func TestDeathOfControlThatNobodyFelt(t *testing.T) {
	if felt, ok := Feel(good().Entries, goodFaults()[2]); felt != (Felt{}) || !ok {
		t.Errorf("%+v, %v", felt, ok)
	}
}
