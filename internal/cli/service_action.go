package cli

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/apiv1"
)

// actionText describes one way to move a service by hand.
type actionText struct {
	verb                 apiv1.Verb
	short, long, example string
}

var actions = []actionText{
	{apiv1.Drain, "Send nothing new to one site, for a time",
		`Send nothing new of a service to one site, for a time. Requests under way end in
peace. The drain ends by itself; draining again renews it. Draining the last
site that serves is refused without --force.`,
		"  spare service drain shop virginia --for 30m --reason \"disk change\"\n  spare service drain shop virginia --dry-run"},
	{apiv1.Undrain, "End a drain before its time",
		"End a drain before its time. The site serves again as its health allows, slowly at first.",
		"  spare service undrain shop virginia"},
	{apiv1.Freeze, "Let no automatic decision move a service, for a time",
		`Keep a service's routing as it is, for a time: verdicts change nothing until the
freeze ends. The data path still goes around an origin that fails.`,
		"  spare service freeze shop --for 2h --reason \"migration\""},
	{apiv1.Unfreeze, "End a freeze before its time",
		"End a freeze before its time. What was decided meanwhile comes into force.",
		"  spare service unfreeze shop"},
	{apiv1.Failback, "Move a service back to its preferred site",
		"Move a service back to its preferred site, after that has been up for long enough.",
		"  spare service failback shop --reason \"virginia is back\"\n  spare service failback shop --dry-run"},
}

func (e *env) actionCommand(t actionText) *cobra.Command {
	var body apiv1.Action
	var lasts time.Duration
	use, args := string(t.verb)+" SERVICE", takes("SERVICE")
	if t.verb.NeedsSite() {
		use, args = use+" SITE", takes("SERVICE", "SITE")
	}
	cmd := &cobra.Command{
		Use: use, Short: t.short, Long: t.long, Example: t.example, Args: args,
		ValidArgsFunction: e.services(t.verb.NeedsSite()),
		RunE: func(cmd *cobra.Command, args []string) error {
			if t.verb.NeedsSite() {
				body.Site = args[1]
			}
			if t.verb.Expires() {
				if lasts <= 0 {
					return misused(cmd, nil, "--for %s is not a time to come", lasts)
				}
				body.For = lasts.String()
			}
			return e.act(cmd, t.verb, args[0], body)
		},
	}
	flags := cmd.Flags()
	if t.verb.Expires() {
		flags.DurationVar(&lasts, "for", time.Hour, "how long, as in 30m or 2h")
	}
	if t.verb == apiv1.Drain || t.verb == apiv1.Failback {
		flags.BoolVar(&body.Force, "force", false, "do it although it may do harm")
	}
	flags.StringVar(&body.Reason, "reason", "", "why, for the journal")
	flags.BoolVar(&body.DryRun, "dry-run", false, "change nothing, show what would be done")
	return cmd
}

func (e *env) act(cmd *cobra.Command, v apiv1.Verb, service string, body apiv1.Action) error {
	c, err := e.client(acts)
	if err != nil {
		return err
	}
	doc, err := c.Act(cmd.Context(), service, v, body)
	if err != nil {
		return err
	}
	return e.print(cmd, doc, func(w io.Writer) {
		what := "done"
		if doc.DryRun {
			what = "would be done"
		}
		for _, step := range doc.Steps {
			say(w, "%s: %s", what, step)
		}
		if !doc.Until.IsZero() {
			say(w, "until %s, unless renewed", stamp(doc.Until))
		}
	})
}
