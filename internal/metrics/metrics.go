// Package metrics shows Spare's counters to Prometheus. It is the only home of
// the Prometheus client library.
//
// The data path keeps plain counters of its own and reports them as
// [health.Traffic]; nothing here is on a request's way. A [Snapshot] of them is
// asked for once a scrape and written out under the names that Prometheus
// conventions ask for, in a registry of its own.
//
//	h := metrics.Handler(version, func() metrics.Snapshot { return app.snapshot() })
//	mux.Handle("/metrics", h)
//
// Counters begin again at zero when a data process is replaced, which
// Prometheus takes for what it is: a reset.
package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sparecloud/spare/internal/health"
)

// Snapshot is what one scrape shows.
type Snapshot struct {
	Traffic       []health.Traffic // at most one a service
	Verdicts      []health.Verdict // at most one a target
	Buckets       []health.Bucket
	Epoch         uint64 // of the newest routing table
	IncidentsOpen int
}

// Handler answers scrapes with source's snapshot, Go's and the process's own
// figures. Source is called from several goroutines.
func Handler(version string, source func() Snapshot) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		&collector{source: source, version: version},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	// One series that cannot be written must not hide all the others.
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, Registry: reg})
}

var (
	service = []string{"service"}
	origin  = []string{"service", "site"}
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// counter is a series that grows, and where its value comes from.
type counter[T any] struct {
	desc  *prometheus.Desc
	value func(*T) uint64
}

var serviceCounters = []counter[health.Traffic]{
	{desc("spare_requests_total", "Requests answered, or given up.", service...),
		func(t *health.Traffic) uint64 { return t.Requests }},
	{desc("spare_request_failures_total", "Requests for which no origin gave an answer that could be passed on.", service...),
		func(t *health.Traffic) uint64 { return t.Failed }},
	{desc("spare_requests_refused_total", "Requests that Spare itself answered with 4xx.", service...),
		func(t *health.Traffic) uint64 { return t.Refused }},
	{desc("spare_retries_total", "Requests sent again to another origin after a failure.", service...),
		func(t *health.Traffic) uint64 { return t.Retried }},
	{desc("spare_hedges_total", "Requests sent to a second origin because the first was slow.", service...),
		func(t *health.Traffic) uint64 { return t.Hedged }},
	{desc("spare_hedge_wins_total", "Hedged requests that the second origin answered.", service...),
		func(t *health.Traffic) uint64 { return t.HedgeWins }},
	{desc("spare_resumes_total", "Response bodies continued from another origin.", service...),
		func(t *health.Traffic) uint64 { return t.Resumed }},
	{desc("spare_truncations_total", "Response bodies cut that could not be resumed.", service...),
		func(t *health.Traffic) uint64 { return t.Truncated }},
	{desc("spare_maybe_applied_total", "Unsafe requests of unknown effect.", service...),
		func(t *health.Traffic) uint64 { return t.MaybeApplied }},
	{desc("spare_server_errors_total", "Answers 5xx passed on from an origin.", service...),
		func(t *health.Traffic) uint64 { return t.ServerErrors }},
}

var originCounters = []counter[health.OriginTraffic]{
	{desc("spare_origin_requests_total", "Attempts sent to an origin.", origin...),
		func(o *health.OriginTraffic) uint64 { return o.Requests }},
	{desc("spare_origin_failures_total", "Attempts that gave no usable answer.", origin...),
		func(o *health.OriginTraffic) uint64 { return o.Failures }},
	{desc("spare_origin_server_errors_total", "Attempts that were answered with 5xx.", origin...),
		func(o *health.OriginTraffic) uint64 { return o.Errors }},
	{desc("spare_origin_ejections_total", "Times that the data path took the origin out on its own.", origin...),
		func(o *health.OriginTraffic) uint64 { return o.Ejections }},
}

var (
	originUp      = desc("spare_origin_up", "Verdict on an origin: 1 up or degraded, 0 down; absent while unknown.", origin...)
	originEjected = desc("spare_origin_ejected", "1 while the data path keeps the origin out on its own.", origin...)
	tableEpoch    = desc("spare_table_epoch", "Epoch of the newest routing table.")
	incidentsOpen = desc("spare_incidents_open", "Incidents that are open.")
	buildInfo     = desc("spare_build_info", "1, with the program's version as labels.", "version", "goversion")
)

type collector struct {
	source  func() Snapshot
	version string
}

// Describe sends every description, so that the registry can tell a series of
// another name from ours.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range serviceCounters {
		ch <- m.desc
	}
	for _, m := range originCounters {
		ch <- m.desc
	}
	describeBuckets(ch)
	for _, d := range []*prometheus.Desc{originUp, originEjected, tableEpoch, incidentsOpen, buildInfo} {
		ch <- d
	}
}

// Collect sends one snapshot.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.source()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(buildInfo, 1, c.version, runtime.Version())
	gauge(tableEpoch, float64(s.Epoch))
	gauge(incidentsOpen, float64(s.IncidentsOpen))
	for i := range s.Traffic {
		t := &s.Traffic[i]
		send(ch, serviceCounters, t, string(t.Service))
		for j := range t.Origins {
			o := &t.Origins[j]
			send(ch, originCounters, o, string(t.Service), string(o.Site))
			gauge(originEjected, number(o.Ejected), string(t.Service), string(o.Site))
		}
	}
	collectBuckets(ch, s.Buckets, time.Now())
	for _, v := range s.Verdicts {
		if v.State != health.Unknown {
			gauge(originUp, number(v.State != health.Down), string(v.Target.Service), string(v.Target.Site))
		}
	}
}

func send[T any](ch chan<- prometheus.Metric, series []counter[T], from *T, labels ...string) {
	for _, m := range series {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(m.value(from)), labels...)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
