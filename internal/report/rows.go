package report

import (
	"fmt"
	"strings"

	"github.com/sparecloud/spare/internal/apiv1"
)

// maxRefs bounds the journal entries that are named behind one sentence.
const maxRefs = 8

// howCounted explains the tables of the impact.
const howCounted = "Counted are the requests of the services from two seconds before the first evidence (earlier while requests were in trouble) until the incident closed. " +
	"A request hurt its user if it failed, was cut, or may or may not have been applied; those that were retried, hedged or resumed did not. " +
	"Time lost is the share of requests that were hurt, second by second: one of a hundred in a second is 10 ms. " +
	"The budget is what the availability objective allows in 30 days; money is the time lost at cost_per_hour."

// noImpact stands for the tables of the impact where there is nothing to count.
const noImpact = "No service is part of this incident, and " + whatBuckets + "."

// impactRows are the cells of the impact's table: the services, then all.
func impactRows(m apiv1.Impact) [][]string {
	row := func(s apiv1.ServiceImpact) []string {
		return []string{s.Service, number(s.Requests), number(s.Failed), number(s.MaybeApplied), number(s.Truncated),
			number(s.Retried), number(s.Hedged), number(s.Resumed), number(s.ServerErrors), millis(s.LongestMS)}
	}
	var rows [][]string
	for _, s := range m.Services {
		rows = append(rows, row(s))
	}
	return append(rows, row(apiv1.ServiceImpact{
		Service: "all", Requests: m.Requests, Failed: m.Failed, MaybeApplied: m.MaybeApplied, Truncated: m.Truncated,
		Retried: m.Retried, Hedged: m.Hedged, Resumed: m.Resumed, ServerErrors: m.ServerErrors, LongestMS: m.LongestMS,
	}))
}

func lossRows(list []apiv1.Loss) [][]string {
	var rows [][]string
	for _, l := range list {
		lost := span(fromMS(l.LostMS))
		if l.Basis == basisTotals {
			lost = "about " + lost + " (estimated from totals)"
		}
		budget, money := "no objective", "no cost_per_hour"
		if l.BudgetMS > 0 {
			budget = fmt.Sprintf("%s of %s", percent(l.BudgetShare), span(fromMS(l.BudgetMS)))
		}
		if l.CostPerHour > 0 {
			money = fmt.Sprintf("%.2f", l.Money)
		}
		rows = append(rows, []string{l.Service, number(l.Hurt), lost, budget, money})
	}
	return rows
}

// spoken writes a milestone's name for people.
func spoken(name string) string { return strings.ReplaceAll(name, "_", " ") }

func entryText(id int64) string {
	if id == 0 {
		return "-"
	}
	return fmt.Sprint(id)
}

func triggerText(c apiv1.Cause) string {
	return fmt.Sprintf("%s Known how: %s; it explains %.0f %% of the evidence.", sentence(c.Text), c.Certainty, 100*c.Score)
}
