package app

import (
	"log/slog"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

func TestDependencysVerdictsAreRecordedAndMoveNothing(t *testing.T) {
	rec := newRecorder(nil, slog.New(slog.DiscardHandler))
	d := &depends{record: rec}
	check := estate.Check{Kind: estate.CheckHTTP, Every: time.Second, DownAfter: 2, UpAfter: 1}
	list := []estate.Dependency{{ID: "stripe", URL: "http://127.0.0.1:1", Check: &check}, {ID: "told of only"}}
	targets := d.set(list)
	if len(targets) != 1 || targets[0].URL != "http://127.0.0.1:1" {
		t.Fatalf("targets = %+v, want the one that has a check", targets)
	}
	if d.checked(health.Result{Target: estate.Target{Service: "stripe", Site: "virginia"}}) {
		t.Error("an origin's result was taken for a dependency's")
	}
	at := time.Now()
	for i := range 6 {
		at = at.Add(time.Second)
		if !d.checked(health.Result{Target: targets[0].Target, At: at, OK: i < 2, Cause: health.CauseStatus}) {
			t.Fatal("not taken for the dependency's")
		}
	}
	d.set(list) // a reload keeps what is known
	if got := d.by[targets[0].Target].Verdict().State; got != health.Down {
		t.Errorf("after a reload the dependency is %s", got)
	}
	var said []string
	for len(rec.wait) > 0 {
		said = append(said, (<-rec.wait).Message)
	}
	if len(said) != 2 {
		t.Errorf("recorded %q, want up and then down", said)
	}
}
