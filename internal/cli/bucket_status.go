package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/apiv1"
)

func (e *env) bucketStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status [BUCKET]",
		Short: "Show how buckets and their replicas stand",
		Long: `Show how buckets and their replicas stand, as the process that serves them
sees it. BEHIND is how many keys a replica is known to lack something of; LAG is
how long the oldest of them has been waiting.`,
		Example:           "  spare bucket status\n  spare bucket status media --json",
		Args:              takes("[BUCKET]"),
		ValidArgsFunction: e.bucketNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := e.client(reads)
			if err != nil {
				return err
			}
			var list apiv1.BucketList
			if len(args) == 0 {
				list, err = c.Buckets(cmd.Context())
			} else {
				list.Buckets = make([]apiv1.Bucket, 1)
				list.Buckets[0], err = c.Bucket(cmd.Context(), args[0])
			}
			if err != nil {
				return err
			}
			return e.print(cmd, list, func(w io.Writer) { showBuckets(w, list.Buckets) })
		},
	}
}

func showBuckets(w io.Writer, all []apiv1.Bucket) {
	if len(all) == 0 {
		say(w, "the estate declares no buckets")
		return
	}
	t := newTable(w, "BUCKET", "STATE", "REFUSED", "THIN", "SETTLED", "SWITCHES", "CORRUPT", "REPAIRED", "REASON")
	for _, b := range all {
		n := b.Counts
		reason := b.Reason
		if b.Adopting != "" && reason == "" {
			reason = "adopting " + b.Adopting
		}
		t.row(b.ID, b.State, n.Refused, n.Thin, n.Settled, n.Switches, n.Corrupt, n.Repaired, reason)
	}
	t.flush()
	say(w, "")
	t = newTable(w, "BUCKET", "SITE", "HOLDS", "STATE", "BEHIND", "LAG", "LATENCY", "REQUESTS", "FAILED", "WHERE", "REASON")
	for _, b := range all {
		for _, r := range b.Replicas {
			holds, behind := "objects", fmt.Sprint(r.Behind)
			if r.Witness {
				holds = "heads"
			}
			if r.More {
				behind += "+"
			}
			lag := time.Duration(r.LagS * float64(time.Second)).Round(time.Second)
			t.row(b.ID, r.Site, holds, r.State, behind, lag, milliseconds(r.LatencyMS), r.Requests, r.Failed, r.Where, r.Reason)
		}
	}
	t.flush()
}
