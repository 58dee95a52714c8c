package setup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// text writes the file. Every answer stands in quotes, so that none can be
// taken for anything but text.
func (a Answers) text() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# What Spare keeps usable. Check this file with")
	line("#")
	line("#   spare check spare.yaml")
	line("#")
	line("# A change is in force as soon as the file is saved; a file that is wrong changes")
	line("# nothing. \"spare schema\" prints its JSON Schema for your editor.")
	line("version: 1")
	line("")
	line("data: %s   # folder that keeps state and the API's token", quote(a.Data))
	line("")
	line("listen:")
	line("  http: %s   # users' requests", quote(a.Listen))
	line("  api: %s   # the API, for the other commands; keep it on loopback", quote(a.API))
	line("")
	line("# Places that fail as a whole. Two sites of one region share its outages.")
	line("sites:")
	ids := a.siteIDs()
	for i, p := range a.Places {
		line("  %s: {provider: %s, region: %s}", quote(ids[i]), quote(p.Provider), quote(p.Region))
	}
	a.service(line, ids)
	bucket(line, a.Places, ids)
	line("")
	line("# Tell somebody when an incident opens and closes. A secret is never in this file.")
	line("# notify:")
	line("#   webhook: {url: \"https://hooks.example.com/spare\", secret: \"${env:SPARE_WEBHOOK_SECRET}\"}")
	return b.Bytes()
}

func (a Answers) service(line func(format string, args ...any), ids []string) {
	line("")
	line("services:")
	line("  %s:", quote(a.Service))
	if a.Host == AnyHost {
		line("    # hosts: [shop.example.com]   # without hosts: every host")
	} else {
		line("    hosts: [%s]", quote(a.Host))
	}
	line("    policy: primary   # the first healthy origin serves; balance: all of them do")
	line("    origins:")
	for i, p := range a.Places {
		line("      %s: {url: %s}", quote(ids[i]), quote(p.URL))
	}
	line("    check:")
	line("      http: {path: %s}   # any answer below 500 is well", quote(a.Check))
	line("      every: 1s")
	line("    # writes: one_site      # if two sites must never take writes at once: these move only")
	line("    #                       # after the old site was down for a while (confirm: 5s)")
	line("    # retry_writes: true    # if PUT, DELETE and POST with Idempotency-Key may be repeated")
	line("    # objective: {rto: 5s, availability: 99.95}   # what reports measure incidents by")
	line("    # cost_per_hour: 1000   # money lost in an hour of downtime, for the same")
}

// bucket shows, in comments, how objects are declared. It is right as soon as
// the site of the witness is declared and the variables are set.
func bucket(line func(format string, args ...any), places []Place, ids []string) {
	line("")
	line("# Objects at several providers, for S3 clients on port 9000: an odd number of replicas,")
	line("# three at least. A witness keeps no objects; a folder of this machine will do for one.")
	line("# buckets:")
	line("#   media:")
	line("#     replicas:")
	for i := range 2 {
		id := "spare-site"
		if i < len(ids) {
			id = ids[i]
		}
		where := `endpoint: "https://storage.example.com"`
		if i < len(places) && places[i].Provider == "aws" {
			where = "region: " + quote(places[i].Region)
		}
		n := i + 1
		line("#       %s: {s3: {bucket: media-%d, %s, access_key: \"${env:MEDIA_%d_KEY}\", secret_key: \"${env:MEDIA_%d_SECRET}\"}}", quote(id), n, where, n, n)
	}
	line("#       witness-site: {file: /srv/media, witness: true}")
	line("#     objective: {rpo: 0s}")
	line("# credentials:")
	line("#   - {access_key: app, secret_key: \"${env:APP_SECRET}\", buckets: [media], rights: write}")
}

// quote writes s in double quotes. JSON's are YAML's too; "${" would begin a
// reference.
func quote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(strings.ReplaceAll(s, "${", "$${")) // a string, into memory
	return strings.TrimSpace(b.String())
}
