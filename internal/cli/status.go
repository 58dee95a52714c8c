package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/apiv1"
)

func (e *env) statusCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how everything is",
		Long: `Show how everything is: services, origins, what operators set, the processes.

The exit code is 0 even when something is down, as long as the question was
answered. With --check it is 1 unless every service and bucket is up.`,
		Example:           "  spare status\n  spare status --check\n  spare status --json",
		Args:              takes(),
		ValidArgsFunction: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client(reads)
			if err != nil {
				return err
			}
			doc, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if err := e.print(cmd, doc, func(w io.Writer) { showStatus(w, doc) }); err != nil || !check {
				return err
			}
			return allUp(doc)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "exit with 1 unless every service and bucket is up")
	return cmd
}

func allUp(doc apiv1.Status) error {
	var bad []string
	for _, s := range doc.Services {
		if s.State != apiv1.ServiceUp {
			bad = append(bad, s.ID+" is "+s.State)
		}
	}
	for _, b := range doc.Buckets {
		if b.State != apiv1.BucketUp {
			bad = append(bad, "bucket "+b.ID+" is "+b.State)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("not all is well: %s", strings.Join(bad, ", "))
	}
	return nil
}

func showStatus(w io.Writer, doc apiv1.Status) {
	say(w, "spare %s, table %d, estate %.12s", doc.Version, doc.Epoch, doc.Estate)
	say(w, "%s, in force since %s", doc.Config.Path, stamp(doc.Config.Loaded))
	if doc.Config.Error != "" {
		say(w, "the file has changed and was refused: %s", doc.Config.Error)
	}
	say(w, "open incidents: %d", doc.IncidentsOpen)

	say(w, "")
	t := newTable(w, "SERVICE", "STATE", "ACTIVE", "REQUESTS", "FAILED", "RETRIED", "HEDGED", "RESUMED", "MAYBE APPLIED", "LONGEST")
	for _, s := range doc.Services {
		n := s.Traffic
		t.row(s.ID, s.State, s.Active, n.Requests, n.Failed, n.Retried, n.Hedged, n.Resumed, n.MaybeApplied, milliseconds(n.LongestMS))
	}
	t.flush()

	say(w, "")
	t = newTable(w, "SERVICE", "SITE", "STATE", "FOR", "ATTEMPTS", "FAILED", "P50", "P95", "P99", "EVIDENCE")
	for _, s := range doc.Services {
		for _, o := range s.Origins {
			t.row(s.ID, o.Site, originState(o), since(doc.At, o.Since), o.Requests, o.Failures,
				milliseconds(o.P50MS), milliseconds(o.P95MS), milliseconds(o.P99MS), o.Evidence)
		}
	}
	t.flush()

	if len(doc.Buckets) > 0 {
		say(w, "")
		showBuckets(w, doc.Buckets)
	}
	showDecisions(w, doc)

	say(w, "")
	t = newTable(w, "DATA PROCESS", "PID", "TABLE", "LINKED", "FOR", "MEMORY")
	for _, p := range doc.DataProcesses {
		t.row(p.Incarnation, p.PID, p.Epoch, yesNo(p.Linked), since(doc.At, p.Since), fmt.Sprintf("%.1fMiB", float64(p.RSSBytes)/(1<<20)))
	}
	t.flush()
}

// originState says the table's state, the verdict where that differs, and
// whether the data path took the origin out on its own.
func originState(o apiv1.Origin) string {
	s := o.State
	if o.Verdict != o.State && o.Verdict != "" && o.Verdict != "unknown" {
		s += ", checks say " + o.Verdict
	}
	if o.Ejected {
		s += ", ejected"
	}
	return s
}

// showDecisions shows what operators set and what is about to move.
func showDecisions(w io.Writer, doc apiv1.Status) {
	var sets, moves []func()
	var overrides, pending table
	for _, s := range doc.Services {
		for _, o := range s.Overrides {
			sets = append(sets, func() { overrides.row(o.Kind, s.ID, o.Site, stamp(o.Until), o.Actor, o.Reason) })
		}
		if p := s.Pending; p != nil {
			moves = append(moves, func() { pending.row(s.ID, p.From, p.To, stamp(p.Due), p.Blocked) })
		}
	}
	if len(sets) > 0 {
		say(w, "")
		overrides = newTable(w, "OVERRIDE", "SERVICE", "SITE", "UNTIL", "BY", "REASON")
		for _, row := range sets {
			row()
		}
		overrides.flush()
	}
	if len(moves) > 0 {
		say(w, "")
		pending = newTable(w, "PENDING MOVE", "FROM", "TO", "NOT BEFORE", "BLOCKED BY")
		for _, row := range moves {
			row()
		}
		pending.flush()
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
