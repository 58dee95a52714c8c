package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/web/session"
)

// duration is a choice of how long an override holds.
type duration struct{ Value, Text string }

var durations = []duration{
	{"15m", "15 minutes"}, {"30m", "30 minutes"}, {"1h", "1 hour"}, {"4h", "4 hours"}, {"12h", "12 hours"}, {"24h", "1 day"}, {"168h", "7 days"},
}

func verbText(v apiv1.Verb) string {
	switch v {
	case apiv1.Failback:
		return "Fail back"
	case "":
		return ""
	}
	return strings.ToUpper(string(v[:1])) + string(v[1:])
}

// actionPage asks once more, and says what will happen.
type actionPage struct {
	Service string
	Verb    apiv1.Verb
	Body    apiv1.Action
	Outcome apiv1.Outcome // of the dry run
	Plan    string        // names the steps that were shown
	Error   string        // why it cannot be done as it is
	Hint    string
	Force   bool // it could be forced
	Changed bool // the steps are not those that were agreed to
}

// preview shows the steps of an action, by a dry run of that very action.
func (c *Console) preview(r *http.Request, s *session.Session) (view, error) {
	return c.propose(r, s, r.URL.Query(), "")
}

// act does what was agreed to. If by now it would be something else, it shows
// that instead.
func (c *Console) act(r *http.Request, s *session.Session) (view, error) {
	agreed := r.PostForm.Get("plan")
	a, err := asked(r, s, r.PostForm)
	if err != nil {
		return view{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), actTime)
	defer cancel()
	dry := a
	dry.DryRun = true
	if out, err := c.Backend.Act(ctx, dry); err != nil || planOf(out) != agreed {
		v, perr := c.propose(r, s, r.PostForm, agreed)
		v.code = http.StatusConflict
		return v, perr
	}
	out, err := c.Backend.Act(ctx, a)
	c.forget()
	c.Log.Info("console action", "verb", string(a.Verb), "service", string(a.Service), "site", string(a.Site), "actor", a.Actor, "err", err)
	if err != nil {
		return view{}, err
	}
	s.Tell(strings.TrimSpace(verbText(a.Verb)+" "+string(a.Service)+" "+string(a.Site)) + ": done. " + strings.Join(out.Steps, "; ") + ".")
	return view{redirect: "/services/" + url.PathEscape(string(a.Service))}, nil
}

// asked reads an action from a form's values and checks it.
func asked(r *http.Request, s *session.Session, q url.Values) (api.Action, error) {
	v := apiv1.Verb(r.PathValue("verb"))
	if !slices.Contains(apiv1.Verbs(), v) {
		return api.Action{}, errs.E(errs.NotFound, "there is no action %q", v)
	}
	body := apiv1.Action{Site: q.Get("site"), For: q.Get("for"), Reason: strings.TrimSpace(q.Get("reason")), Force: q.Get("force") == "yes"}
	return api.NewAction(estate.ServiceID(r.PathValue("id")), v, body, s.Actor)
}

func (c *Console) propose(r *http.Request, s *session.Session, q url.Values, agreed string) (view, error) {
	a, err := asked(r, s, q)
	if err != nil {
		return view{}, err
	}
	p := actionPage{
		Service: string(a.Service), Verb: a.Verb,
		Body: apiv1.Action{Site: string(a.Site), For: q.Get("for"), Reason: a.Reason, Force: a.Force},
	}
	if p.Body.For == "" && a.Verb.Expires() {
		p.Body.For = "1h"
	}
	a.DryRun = true
	p.Outcome, err = c.Backend.Act(r.Context(), a)
	switch {
	case errs.Is(err, errs.Conflict), errs.Is(err, errs.NotFound) && c.exists(r.Context(), a):
		p.Error, p.Hint = err.Error(), errs.Hint(err)
		p.Force = errs.Is(err, errs.Conflict) && a.Verb == apiv1.Drain && !a.Force
	case err != nil:
		return view{}, err
	}
	p.Plan = planOf(p.Outcome)
	p.Changed = agreed != "" && agreed != p.Plan && p.Error == ""
	return view{template: "action", title: verbText(a.Verb) + " " + p.Service, nav: "services", body: p}, nil
}

// exists reports whether the action is about something that is there: then a
// NotFound means that there is nothing to undo.
func (c *Console) exists(ctx context.Context, a api.Action) bool {
	_, s, err := c.one(ctx, string(a.Service))
	return err == nil && (a.Site == "" || slices.ContainsFunc(s.Origins, func(o apiv1.Origin) bool { return o.Site == string(a.Site) }))
}

// planOf names an outcome's steps. How long it holds from now is a part of
// them; until when is not, as that moves with the clock.
func planOf(o apiv1.Outcome) string {
	sum := sha256.Sum256([]byte(o.Service + "\x00" + string(o.Verb) + "\x00" + strings.Join(o.Steps, "\x00")))
	return hex.EncodeToString(sum[:8])
}
