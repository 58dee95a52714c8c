package apiv1

import "time"

// Verb is an operator's action on a service.
type Verb string

// The verbs. Drain and Freeze end by themselves after [Action.For]; repeating
// one renews it.
const (
	Drain    Verb = "drain"    // send nothing new to one site
	Undrain  Verb = "undrain"  // end a drain
	Freeze   Verb = "freeze"   // let no automatic decision move the service
	Unfreeze Verb = "unfreeze" // end a freeze
	Failback Verb = "failback" // move back to the preferred site
)

// Verbs lists all verbs, for tables and completions.
func Verbs() []Verb { return []Verb{Drain, Undrain, Freeze, Unfreeze, Failback} }

// NeedsSite reports whether the verb names one site.
func (v Verb) NeedsSite() bool { return v == Drain || v == Undrain }

// Expires reports whether what the verb sets ends by itself.
func (v Verb) Expires() bool { return v == Drain || v == Freeze }

// Action is the body of POST /api/v1/services/{id}/{verb}.
type Action struct {
	Site   string `json:"site,omitempty"`    // drain, undrain
	For    string `json:"for,omitempty"`     // drain, freeze: "30m", "1h"; default 1h
	Reason string `json:"reason,omitempty"`  // kept in the journal
	Force  bool   `json:"force,omitempty"`   // do it although it is held to be harmful
	DryRun bool   `json:"dry_run,omitempty"` // change nothing, answer what would be done
}

// Outcome is the answer to an action.
type Outcome struct {
	Service string    `json:"service"`
	Verb    Verb      `json:"verb"`
	DryRun  bool      `json:"dry_run"`
	Steps   []string  `json:"steps"`          // what was, or would be, done, in order
	Until   time.Time `json:"until,omitzero"` // when it ends by itself
	Epoch   uint64    `json:"epoch"`          // of the table after it
}

// Reload is the answer to POST /api/v1/reload.
type Reload struct {
	Changed bool   `json:"changed"` // the file differed from the one in force
	Estate  string `json:"estate"`  // digest of the file in force now
	Epoch   uint64 `json:"epoch"`
}
