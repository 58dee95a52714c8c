// Package app builds Spare's processes out of its parts and runs them.
//
// `spare run` is [Supervise]: a small process that opens the listeners, starts
// two children of the same binary and never touches a request. The child
// "data" ([Data]) serves traffic by the last table that it was given; the
// child "control" probes, decides and records. Either may be killed, leak or
// be replaced while the other goes on.
//
//	err := app.Supervise(ctx, app.SuperviseOptions{DataDir: dir, Listen: addrs, ...})
//
// # Handing over without losing a request
//
// A listening socket belongs to whoever holds a descriptor of it, and its queue
// of connections lives as long as one of them does. All hand-overs follow from
// that: somebody else holds the socket before the last holder lets it go.
//
// A child gets the sockets, a ready pipe and a lifeline as inherited
// descriptors, named in the variable SPARE_INHERIT ([Inherit]). It writes a
// byte into the ready pipe once it serves. The lifeline is the read end of a
// pipe whose other end only the supervisor holds: end of file means that the
// supervisor is dead.
//
// Data dies: connections wait in the queue, which the supervisor holds open,
// until the next data process accepts them. Control dies: nothing waits for it.
//
// SIGUSR2: a second data process starts from the binary on disk, on the same
// sockets. It loads the table, waits for a newer one from control for a moment,
// serves, and says that it is ready. Only then the first gets SIGTERM and
// drains: it closes its listener, answers every further request on a kept
// connection with "Connection: close", and closes a connection that stays idle
// only after some seconds, because a client may have sent a request on it just
// now. If the second is not ready in time it is killed and the first never
// learns of it. At last control is restarted, so that both run the new binary.
//
// The supervisor dies: control ends at once. Data goes on serving, dials
// <data>/supervisor.sock (SOCK_SEQPACKET) until a new supervisor listens there,
// and sends one packet: its incarnation and addresses as JSON, its listening
// sockets as SCM_RIGHTS. The new supervisor, who holds the folder's lock, makes
// these sockets its own, starts its own data process on them, and once that is
// ready answers {"drain":true}. The orphan drains and exits; its end of the
// connection closes with it. An orphan whom nobody adopts in 10 s drains and
// exits. A supervisor that finds an address taken waits 12 s for an offer of
// it, or for its release.
//
// Under systemd this needs KillMode=process: with control-group or mixed the
// data process is killed along with the supervisor.
package app
