package incident

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/state"
)

// waitingMax bounds the journal entries that wait in a record.
const waitingMax = 200

// record is an incident with all that is needed to carry on with it after a
// restart. Its JSON is what the state store holds.
type record struct {
	Incident Incident                       `json:"incident"`
	Held     []held                         `json:"held,omitempty"`
	Tally    []tally                        `json:"tally,omitempty"`
	SitesOut []estate.SiteID                `json:"sites_out,omitempty"` // every origin there was unwell at once
	Trouble  map[estate.ServiceID]time.Time `json:"trouble,omitempty"`   // last report with requests that failed
	From     map[estate.ServiceID]time.Time `json:"from,omitempty"`      // reports made after this count
	Series   series                         `json:"series,omitzero"`
	Linked   int64                          `json:"linked,omitempty"` // journal ID up to which evidence was linked
	Changes  int                            `json:"changes"`          // entries written or waiting
	// Entries and Notices wait to be handed on. They are part of the record
	// so that a change and the word about it are stored together.
	Entries []waiting `json:"entries,omitempty"`
	Notices []string  `json:"notices,omitempty"` // events

	rev         state.Revision // of the stored record; Absent before the first Put
	dirty       bool
	said        summary   // what the journal was last told
	wellSince   time.Time // when it was seen that all is well; our clock, starts anew after a restart
	troubleSeen time.Time // when requests were last seen to fail; likewise
}

// held is an origin that an incident holds.
type held struct {
	Target estate.Target `json:"target"`
	Level  level         `json:"level"` // as of the last save
}

// tally counts the sightings of one cause at one origin.
type tally struct {
	Target  estate.Target `json:"target"`
	Cause   health.Cause  `json:"cause"`
	N       int           `json:"n"`
	Entries []int64       `json:"entries,omitempty"`
}

// waiting is a journal entry that was not written yet. Dedup makes writing it
// twice harmless.
type waiting struct {
	Entry journal.Entry `json:"entry"`
	Dedup string        `json:"dedup"`
}

// summary is the part of an incident whose change is worth a journal entry.
type summary struct {
	state    State
	severity Severity
	title    string
}

func (r *record) summary() summary {
	return summary{r.Incident.State, r.Incident.Severity, r.Incident.Title}
}

func byID(a, b *record) int { return cmp.Compare(a.Incident.ID, b.Incident.ID) }

func (r *record) holds(t estate.Target) bool {
	return slices.ContainsFunc(r.Held, func(h held) bool { return h.Target == t })
}

func (r *record) hasService(id estate.ServiceID) bool {
	return slices.Contains(r.Incident.Services, id)
}

// add takes a sighting in.
func (r *record) add(s sighting) {
	r.dirty = true
	if !r.holds(s.target) {
		r.Held = append(r.Held, held{Target: s.target})
	}
	r.begin(s.at)
	t := &r.Incident.Times
	if s.eject && (t.Ejected.IsZero() || s.at.Before(t.Ejected)) {
		t.Ejected = s.at
	}
	if t.Detected.IsZero() || s.at.Before(t.Detected) {
		t.Detected = s.at
	}
	for i := range r.Tally {
		if r.Tally[i].Target == s.target && r.Tally[i].Cause == s.cause {
			r.Tally[i].N++
			return
		}
	}
	r.Tally = append(r.Tally, tally{Target: s.target, Cause: s.cause, N: 1})
}

// begin moves the incident's beginning back to at, if that is earlier.
func (r *record) begin(at time.Time) {
	if at.Before(r.Incident.Opened) {
		r.Incident.Opened = at
		r.Linked = 0 // older entries belong to it now
	}
}

// tell queues a journal entry about the incident as it is now.
func (r *record) tell(at time.Time, change string, level journal.Level, message string) {
	r.Changes++
	in := r.Incident
	data, err := json.Marshal(map[string]any{
		"change": change, "state": in.State, "severity": in.Severity, "title": in.Title,
		"site": in.Site, "services": in.Services, "impact": in.Impact.Counts,
	})
	if err != nil {
		data = nil // plain values: cannot fail
	}
	e := journal.Entry{
		At: at.UTC(), Kind: journal.KindIncident, Level: level, Certainty: r.certainty(),
		Site: in.Site, Incident: in.ID, Actor: "spare", Message: message, Data: data,
	}
	if len(in.Services) == 1 {
		e.Service = in.Services[0]
	}
	if len(r.Entries) >= waitingMax {
		r.Entries = slices.Delete(r.Entries, 1, 2) // the journal is long out of order: keep the opening and the latest
	}
	r.Entries = append(r.Entries, waiting{e, fmt.Sprintf("incident/%s/%d", in.ID, r.Changes)})
	r.dirty = true
}

// certainty says how the incident as a whole is known: a site without a single
// origin seen unwell there is a conclusion.
func (r *record) certainty() journal.Certainty {
	if len(r.Held) == 0 && r.Incident.Site != "" {
		return journal.Inferred
	}
	return journal.Observed
}

// idAt gives the n-th ID for incidents that begin at t.
func idAt(t time.Time, n int64) string {
	t = t.UTC()
	day := t.Truncate(24 * time.Hour)
	slot := int64(t.Sub(day))>>10*(1<<24)/(int64(24*time.Hour)>>10) + n
	return fmt.Sprintf("%s-%06x", day.Format(time.DateOnly), slot&(1<<24-1))
}
