package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
)

// object is a JSON object. encoding/json sorts its keys, so the document is
// the same each time.
type object map[string]any

// document describes the routes as OpenAPI 3.1
// (https://spec.openapis.org/oas/v3.1.0).
func document(table []route) []byte {
	s := schemas{}
	paths := object{}
	for path, methods := range byPath(table) {
		item := object{}
		for method, r := range methods {
			item[strings.ToLower(method)] = s.operation(r)
		}
		paths[path] = item
	}
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title":       "Spare",
			"version":     "1",
			"description": "Times are RFC 3339 in UTC; durations are milliseconds, with the unit in the name; lists are never null.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"paths": paths,
		"components": object{
			"schemas":         s,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}},
		},
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(err) // strings and maps alone: it cannot
	}
	return append(b, '\n')
}

// schemas holds the documents' schemas by type name.
type schemas map[string]any

func (s schemas) operation(r route) object {
	op := object{
		"operationId": r.name,
		"summary":     r.summary,
		"responses": object{
			"200":     object{"description": "done", "content": s.content(r)},
			"default": object{"description": "not done", "content": object{"application/json": object{"schema": s.of(reflect.TypeFor[apiv1.Error](), false)}}},
		},
	}
	switch r.access {
	case act:
		op["security"] = []object{{"token": []string{}}}
	case read: // open on loopback
		op["security"] = []object{{}, {"token": []string{}}}
	}
	if p := parameters(r); len(p) > 0 {
		op["parameters"] = p
	}
	if r.body != nil {
		op["requestBody"] = object{"content": object{"application/json": object{"schema": s.of(reflect.TypeOf(r.body), true)}}}
	}
	return op
}

func (s schemas) content(r route) object {
	if r.reply == nil {
		return object{r.media: object{}}
	}
	content := object{"application/json": object{"schema": s.of(reflect.TypeOf(r.reply), false)}}
	for _, media := range r.also {
		content[media] = object{}
	}
	return content
}

func parameters(r route) []object {
	var list []object
	for part := range strings.SplitSeq(r.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			list = append(list, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	for _, p := range r.params {
		list = append(list, object{"name": p.name, "in": "query", "description": p.about, "schema": p.schema()})
	}
	if r.method == http.MethodPost {
		list = append(list, object{"name": apiv1.ActorHeader, "in": "header", "description": "who acts", "schema": object{"type": "string", "maxLength": maxActor}})
	}
	if r.stream {
		list = append(list, object{"name": "Last-Event-ID", "in": "header", "description": "go on after this entry", "schema": object{"type": "integer"}})
	}
	return list
}

func (p param) schema() object {
	sch := object{"type": p.kind}
	if p.kind == "date-time" {
		sch = object{"type": "string", "format": "date-time"}
	}
	if len(p.enum) > 0 {
		sch["enum"] = p.enum
	}
	if p.many {
		sch = object{"type": "array", "items": sch}
	}
	return sch
}

// of gives the schema of a type; a named struct's is put among the components
// and referred to. A closed one allows no further fields.
func (s schemas) of(t reflect.Type, closed bool) object {
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem(), closed)
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		if t == raw {
			return object{} // anything
		}
		return object{"type": "array", "items": s.of(t.Elem(), closed)}
	}
	if t == reflect.TypeFor[time.Time]() {
		return object{"type": "string", "format": "date-time"}
	}
	if t.Name() == "" {
		return s.structure(t, closed)
	}
	if _, ok := s[t.Name()]; !ok {
		s[t.Name()] = nil // while it is being made
		s[t.Name()] = s.structure(t, closed)
	}
	return object{"$ref": "#/components/schemas/" + t.Name()}
}

func (s schemas) structure(t reflect.Type, closed bool) object {
	fields, required := object{}, []string{}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = s.of(f.Type, closed)
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	sch := object{"type": "object", "properties": fields}
	if len(required) > 0 {
		sch["required"] = required
	}
	if closed {
		sch["additionalProperties"] = false
	}
	return sch
}
