// Package spare is the tour of the code. Spare is one program, cmd/spare, and
// all of it lives under internal/; this page says what to read, in what order,
// and why it is so. Read bottom up: each package stands on those before it,
// and arch_test.go keeps it that way.
//
// # The idea
//
// One file, spare.yaml, declares what exists. Everything else is derived from
// it in four stages, each a floor: observe, decide, act, record. The stage that
// acts, the data path, stands on its own: it serves by an immutable table and
// imports nothing of the stages that made the table. With the rest dead it
// goes on, and goes on failing over.
//
//	estate file -> config -> estate
//	                            |
//	              probe  ->  health  ->  failover  ->  route.Table  ->  edge
//	             observe     decide       decide        published       act
//	                            |            |
//	                            v            v
//	                         journal  ->  incident  ->  api, cli, notify
//	                         record
//
// # Leaves
//
// internal/errs has the few kinds of error that code branches on, and the mark
// of a write whose outcome nobody knows. internal/durable writes files that
// survive a loss of power. internal/run owns goroutines and stops them in
// order. internal/sqlitedb is the one home of SQLite.
//
// # Words
//
// internal/estate is the vocabulary: sites, services, origins, objectives, and
// what makes a declaration valid. internal/health turns results of checks and
// events of the data path into verdicts; its DESIGN.md has the figures of the
// simulation. internal/route is the table. These three are pure: no network,
// no files, no clock.
//
// # Input
//
// internal/config reads spare.yaml strictly and says all that is wrong with
// it, with line, column and the nearest valid name; the JSON Schema comes from
// the same description. internal/probe makes one attempt at one target, and
// thousands in rhythm.
//
// # Data path
//
// internal/edge is where requests go by. Read its package comment, then
// fetch.go, race.go and resume.go: one request over several origins, a hedge
// that overtakes a silent one, a body continued elsewhere. edge/guard is the
// strict gate in front of the HTTP parser; edge/upstream is the HTTP/1.1
// client that knows what it has sent.
//
// internal/blob is a provider's bucket: the types, the Driver that a provider
// implements and the Bucket that users call; drivertest holds drivers to it,
// memblob, fileblob and s3blob are drivers, faultblob breaks one on purpose,
// qualify finds out what a provider's conditional writes are worth.
// internal/blob/replica is one bucket over several: its DESIGN.md first, then
// head.go, register.go, quorum.go, put.go, get.go. internal/s3api speaks S3 in
// front of it; internal/objects opens and keeps what the estate declares.
//
// # Control plane
//
// internal/state is the seam to the store, with a conformance suite
// (statetest), a store in memory for tests (memstate) and the one of a single
// node (sqlitestate). internal/journal is the append-only record.
// internal/failover makes tables of verdicts, overrides and the estate; its
// DESIGN.md explains how writes move. internal/incident groups what fails
// together and counts what it did to users. internal/notify tells people, by
// internal/notify/webhook. internal/metrics is the one home of the Prometheus
// client.
//
// # Processes
//
// internal/link is the unix socket between the two processes: tables down,
// evidence up. internal/app is the program as a package: the supervisor, the
// data process, the control process; its package comment explains how sockets
// change hands without losing a request.
//
// # Surfaces
//
// internal/apiv1 has the wire documents and a client, internal/api answers,
// internal/web is the console, internal/report the write-up of an incident,
// internal/setup what spare init writes, internal/cli the command line.
// internal/demo is an outsider: three clouds on one machine, customers who
// write down everything, and faults that must be proven. tests/robustness is an outsider too: other people's servers, real
// processes killed and stopped. tests/objects does the same to buckets, with
// histories that are checked for linearizability; tests/s3clients lets aws,
// boto3, rclone and restic at them.
//
// Each hard package has a DESIGN.md beside its code. Decisions that would be
// asked about twice are in docs/adr.
package spare
