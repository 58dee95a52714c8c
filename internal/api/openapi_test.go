package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/api/apitest"
)

type spec struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

type operation struct {
	OperationID string
	Security    []map[string][]string
	RequestBody *struct{}
	Responses   map[string]struct {
		Content map[string]struct{ Schema *schema }
	}
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       string
	Items      *schema
	Properties map[string]schema
	Required   []string
}

func describe(t *testing.T) (spec, []byte) {
	t.Helper()
	w := ask(server(apitest.New()), "GET", "/api/v1/openapi.json", "")
	var s spec
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || s.OpenAPI != "3.1.0" {
		t.Fatalf("no OpenAPI document (%v): %.200s", err, w.Body)
	}
	return s, w.Body.Bytes()
}

// example fills a path's names with what the shop has.
func example(path string) string {
	id := "shop"
	switch {
	case strings.Contains(path, "/incidents/"):
		id = "2026-03-01-7fbd2c"
	case strings.Contains(path, "/buckets/"):
		id = "media"
	}
	return strings.ReplaceAll(path, "{id}", id)
}

func TestOpenAPIDocumentIsStable(t *testing.T) {
	_, doc := describe(t)
	golden(t, "openapi.json", doc)
}

// The document's promises are tried on the server: each operation answers, asks
// for the token as it says, and gives the document that its schema describes.
func TestServerKeepsWhatTheOpenAPIDocumentSays(t *testing.T) {
	s, _ := describe(t)
	for path, item := range s.Paths {
		for method, op := range item {
			if op.OperationID == "events" {
				continue // has no end; see events_test.go
			}
			method, target := strings.ToUpper(method), example(path)
			body := ""
			if strings.HasSuffix(path, "drain") {
				body = `{"site":"virginia"}`
			}
			w := ask(server(apitest.New()), method, target, body, bearer)
			if w.Code != http.StatusOK {
				t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
				continue
			}
			bare := ask(server(apitest.New(), closedReads), method, target, body).Code
			if needs := len(op.Security) > 0; needs != (bare == 401) {
				t.Errorf("%s %s: answers %d without the token, security %v", method, path, bare, op.Security)
			}
			if sch := op.Responses["200"].Content["application/json"].Schema; sch != nil {
				var doc any
				if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
					t.Fatal(err)
				}
				s.check(t, path, *sch, doc)
			}
		}
	}
}

// check compares a document with its schema: no field that the schema lacks,
// none missing that it requires, each of its type.
func (s spec) check(t *testing.T, at string, sch schema, doc any) {
	t.Helper()
	if sch.Ref != "" {
		name := strings.TrimPrefix(sch.Ref, "#/components/schemas/")
		target, ok := s.Components.Schemas[name]
		if !ok {
			t.Fatalf("%s: no schema %q", at, sch.Ref)
		}
		sch = target
	}
	kind := ""
	switch v := doc.(type) {
	case map[string]any:
		kind = "object"
		for name, field := range v {
			p, ok := sch.Properties[name]
			if !ok && sch.Type != "" {
				t.Errorf("%s: field %q is not in the schema", at, name)
			}
			s.check(t, at+"."+name, p, field)
		}
		for _, name := range sch.Required {
			if _, ok := v[name]; !ok {
				t.Errorf("%s: field %q is missing", at, name)
			}
		}
	case []any:
		kind = "array"
		for _, e := range v {
			s.check(t, at+"[]", *sch.Items, e)
		}
	case string:
		kind = "string"
	case bool:
		kind = "boolean"
	case float64:
		if kind = "number"; sch.Type == "integer" && v == float64(int64(v)) {
			kind = "integer"
		}
	}
	if sch.Type != "" && kind != sch.Type {
		t.Errorf("%s: is %q, the schema says %q", at, kind, sch.Type)
	}
}

func TestEveryReferenceResolves(t *testing.T) {
	s, doc := describe(t)
	for _, part := range strings.Split(string(doc), `"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if _, ok := s.Components.Schemas[name]; !ok {
			t.Errorf("no schema %q", name)
		}
	}
}

func TestWithoutMetricsThereIsNoSuchRoute(t *testing.T) {
	s := server(apitest.New(), func(o *api.Options) { o.Metrics = nil })
	if w := ask(s, "GET", "/metrics", ""); w.Code != 404 {
		t.Errorf("GET /metrics: %d", w.Code)
	}
	if doc := ask(s, "GET", "/api/v1/openapi.json", "").Body.String(); strings.Contains(doc, `"/metrics"`) {
		t.Error("the document names /metrics")
	}
}
