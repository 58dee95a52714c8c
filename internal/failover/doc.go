// Package failover turns verdicts, operators' overrides and the estate into
// the next routing table.
//
// [Decide] is the pure part: the same [Inputs] always give the same table. A
// [Controller] feeds it. One goroutine owns every decision; the store, the
// journal and fence hooks are talked to beside it, so that routing away from
// a dead origin waits for none of them. Decisions have two speeds: soft ones
// (states, and the active site where writes may go anywhere) are published at
// once and undone as easily; hard ones (where unsafe methods of a one_site
// service go) are confirmed, fenced and committed by compare-and-swap under a
// lease first. DESIGN.md beside this file is the protocol.
//
//	c := failover.New(failover.Options{Store: st, Journal: j, Publish: hub.Publish, Fresh: prober.Fresh, Log: log})
//	c.Load(estate)
//	go c.Run(ctx)
//	c.Result(result) // from a prober
//	err := c.Drain(ctx, failover.Override{Service: "shop", Site: "virginia", Actor: "ann"})
package failover
