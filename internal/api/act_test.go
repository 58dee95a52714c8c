package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/apiv1"
)

func TestActionsReachTheBackend(t *testing.T) {
	for _, tt := range []struct {
		verb, body string
		want       api.Action
	}{
		{"drain", `{"site":"virginia","for":"30m","reason":"disk","force":true}`,
			api.Action{Verb: apiv1.Drain, Site: "virginia", For: 30 * time.Minute, Reason: "disk", Force: true}},
		{"drain", `{"site":"virginia"}`, api.Action{Verb: apiv1.Drain, Site: "virginia", For: time.Hour}},
		{"undrain", `{"site":"virginia"}`, api.Action{Verb: apiv1.Undrain, Site: "virginia"}},
		{"freeze", ``, api.Action{Verb: apiv1.Freeze, For: time.Hour}},
		{"freeze", `{"for":"168h"}`, api.Action{Verb: apiv1.Freeze, For: 168 * time.Hour}},
		{"unfreeze", `{}`, api.Action{Verb: apiv1.Unfreeze}},
		{"failback", `{"force":true}`, api.Action{Verb: apiv1.Failback, Force: true}},
	} {
		b := apitest.New()
		w := ask(server(b), "POST", "/api/v1/services/shop/"+tt.verb, tt.body, bearer)
		tt.want.Service, tt.want.Actor = "shop", "token"
		if d := cmp.Diff([]api.Action{tt.want}, b.Actions()); d != "" || w.Code != 200 {
			t.Errorf("%s %s: %d %s (-want +got):\n%s", tt.verb, tt.body, w.Code, w.Body, d)
		}
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	b := apitest.New()
	before := ask(server(b), "GET", "/api/v1/status", "").Body.String()
	w := ask(server(b), "POST", "/api/v1/services/shop/drain", `{"site":"virginia","dry_run":true}`, bearer)
	var out apiv1.Outcome
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || !out.DryRun || len(out.Steps) == 0 {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	if d := cmp.Diff(before, ask(server(b), "GET", "/api/v1/status", "").Body.String()); d != "" || len(b.Actions()) > 0 {
		t.Errorf("changed by a dry run: %v\n%s", b.Actions(), d)
	}
}

func TestBadActionsAreRefused(t *testing.T) {
	for _, tt := range []struct {
		verb, body string
		want       int
	}{
		{"drain", ``, 400},
		{"drain", `{"site":""}`, 400},
		{"drain", `{"site":"paris"}`, 404},
		{"drain", `{"site":"belgium"}`, 409}, // the last healthy one
		{"drain", `{"site":"virginia","sites":[]}`, 400},
		{"drain", `{"site":"virginia"} {}`, 400},
		{"drain", `{"site":"virginia"}x`, 400},
		{"drain", `{"site":"virginia"`, 400},
		{"drain", `{"site":1}`, 400},
		{"drain", `["virginia"]`, 400},
		{"drain", `site=virginia`, 400},
		{"drain", `{"site":"virginia","for":"0s"}`, 400},
		{"drain", `{"site":"virginia","for":"-1h"}`, 400},
		{"drain", `{"site":"virginia","for":"169h"}`, 400},
		{"drain", `{"site":"virginia","for":"soon"}`, 400},
		{"drain", `{"site":"virginia","for":60}`, 400},
		{"drain", `{"site":"virginia","reason":"a\nb"}`, 400},
		{"drain", `{"site":"virginia","reason":"` + strings.Repeat("x", 501) + `"}`, 400},
		{"freeze", `{"site":"virginia"}`, 400},
		{"unfreeze", `{"for":"1h"}`, 400},
		{"failback", `{"site":"virginia"}`, 400},
		{"drain", `{"reason":"` + strings.Repeat("x", 64<<10) + `"}`, 413},
		{"drain", strings.Repeat(" ", 65<<10) + `{"site":"virginia"}`, 413},
		{"drain", `{"site":"virginia"}` + strings.Repeat(" ", 65<<10), 413},
	} {
		b := apitest.New()
		w := ask(server(b), "POST", "/api/v1/services/shop/"+tt.verb, tt.body, bearer)
		if w.Code != tt.want || len(b.Actions()) > 0 {
			t.Errorf("%s %.60s: %d %s, want %d; done %v", tt.verb, tt.body, w.Code, w.Body, tt.want, b.Actions())
		}
		problem(t, w)
	}
	if w := ask(server(apitest.New()), "POST", "/api/v1/services/none/freeze", "", bearer); w.Code != 404 {
		t.Errorf("unknown service: %d", w.Code)
	}
	if w := ask(server(apitest.New()), "POST", "/api/v1/reload", `{"path":"/etc/passwd"}`, bearer); w.Code != 400 {
		t.Errorf("reload with a field: %d", w.Code)
	}
}
