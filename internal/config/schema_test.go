package config

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/estate"
)

// validates is as much of JSON Schema as the schema of the file uses.
func validates(s map[string]any, v any) error {
	if types := anyList(s["type"]); len(types) > 0 && !slices.ContainsFunc(types, func(t any) bool { return hasType(t.(string), v) }) {
		return fmt.Errorf("%v is not of type %v", v, types)
	}
	if enum, ok := s["enum"]; ok && !slices.Contains(anyList(enum), v) {
		return fmt.Errorf("%v is not one of %v", v, enum)
	}
	for _, one := range anyList(s["oneOf"]) {
		if n := countValid(anyList(s["oneOf"]), v); n != 1 {
			return fmt.Errorf("%d of oneOf %v", n, one)
		}
	}
	if any := anyList(s["anyOf"]); len(any) > 0 && countValid(any, v) == 0 {
		return fmt.Errorf("%v is none of %v", v, any)
	}
	if not, ok := s["not"]; ok && validates(not.(map[string]any), v) == nil {
		return fmt.Errorf("%v is excluded", v)
	}
	switch v := v.(type) {
	case string:
		if p, ok := s["pattern"]; ok && !pattern(p.(string)).MatchString(v) {
			return fmt.Errorf("%q does not match %v", v, p)
		}
		if least, ok := s["minLength"]; ok && utf8.RuneCountInString(v) < int(least.(float64)) {
			return fmt.Errorf("%q is too short", v)
		}
	case float64:
		low, high, above := limit(s, "minimum", math.Inf(-1)), limit(s, "maximum", math.Inf(1)), limit(s, "exclusiveMinimum", math.Inf(-1))
		if v < low || v > high || v <= above {
			return fmt.Errorf("%v is out of bounds", v)
		}
	case []any:
		if float64(len(v)) < limit(s, "minItems", 0) {
			return fmt.Errorf("too few items")
		}
		for _, item := range v {
			if err := validates(s["items"].(map[string]any), item); err != nil {
				return err
			}
		}
	case map[string]any:
		return validatesMap(s, v)
	}
	return nil
}

func validatesMap(s map[string]any, v map[string]any) error {
	for _, k := range anyList(s["required"]) {
		if _, ok := v[k.(string)]; !ok {
			return fmt.Errorf("%v is missing", k)
		}
	}
	if float64(len(v)) < limit(s, "minProperties", 0) {
		return fmt.Errorf("too few properties")
	}
	properties, _ := s["properties"].(map[string]any)
	for k, item := range v {
		if names, ok := s["propertyNames"]; ok {
			if err := validates(names.(map[string]any), k); err != nil {
				return err
			}
		}
		sub, ok := properties[k].(map[string]any)
		if !ok {
			if sub, ok = s["additionalProperties"].(map[string]any); !ok {
				if s["additionalProperties"] == false {
					return fmt.Errorf("unknown property %q", k)
				}
				continue
			}
		}
		if err := validates(sub, item); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	return nil
}

var patterns = map[string]*regexp.Regexp{}

func pattern(p string) *regexp.Regexp {
	if patterns[p] == nil {
		patterns[p] = regexp.MustCompile(p)
	}
	return patterns[p]
}

func limit(s map[string]any, key string, fallback float64) float64 {
	if v, ok := s[key].(float64); ok {
		return v
	}
	return fallback
}

func anyList(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

func countValid(list []any, v any) (n int) {
	for _, s := range list {
		if validates(s.(map[string]any), v) == nil {
			n++
		}
	}
	return n
}

func hasType(t string, v any) bool {
	switch v := v.(type) {
	case string:
		return t == "string"
	case bool:
		return t == "boolean"
	case float64:
		return t == "number" || t == "integer" && v == math.Trunc(v)
	case []any:
		return t == "array"
	case map[string]any:
		return t == "object"
	default:
		return t == "null"
	}
}

// plain turns a tree into what a JSON Schema validator sees of it.
func plain(t *testing.T, n *node) any {
	switch n.kind {
	case mapping:
		m := map[string]any{}
		for _, e := range n.entries {
			m[e.key.text] = plain(t, e.value)
		}
		return m
	case list:
		l := []any{}
		for _, item := range n.items {
			l = append(l, plain(t, item))
		}
		return l
	case scalar:
		switch kind := plainKind(n.text); {
		case n.quoted || kind == "text":
			return n.text
		case kind == "true or false":
			return strings.EqualFold(n.text, "true")
		case kind == "a number":
			f, err := strconv.ParseFloat(n.text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	return nil
}

func loadSchema(t *testing.T) map[string]any {
	t.Helper()
	var s map[string]any
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// mutants gives trees that differ from the file in one place each: a value
// replaced by something else, an entry lost, a key that nobody knows.
func mutants(t *testing.T, text string, each func(what string, root *node)) {
	t.Helper()
	var paths []string
	var walk func(path string, n *node)
	walk = func(path string, n *node) {
		paths = append(paths, path)
		for _, e := range n.entries {
			walk(estate.Key(path, e.key.text), e.value)
		}
		for i, item := range n.items {
			walk(estate.Index(path, i), item)
		}
	}
	root, faults, _ := parse(text)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	walk("", root)
	var instead []*node
	for _, s := range substitutes {
		n, _, _ := parse(s)
		instead = append(instead, n)
	}
	unknown, _, _ := parse("zzz: {}")
	for _, path := range paths {
		for i, n := range instead {
			mutant := clone(root)
			*pick(mutant, path) = *n
			each(path+" = "+substitutes[i], mutant)
		}
		for i := range pick(root, path).entries {
			mutant := clone(root)
			n := pick(mutant, path)
			n.entries = slices.Delete(n.entries, i, i+1)
			each(fmt.Sprintf("%s without entry %d", path, i), mutant)
		}
		if pick(root, path).kind == mapping {
			mutant := clone(root)
			n := pick(mutant, path)
			n.entries = append(n.entries, unknown.entries...)
			each(path+" with an unknown key", mutant)
		}
	}
}

var substitutes = []string{"~", "[]", "{}", "12", "0", "-1", "0.5", "true", `""`, `"text"`, "[1]", "[text]", "{zzz: 1}",
	"${env:PRIMARY}", `"${env:PRIMARY}"`, "5s", "10MiB", "https://x.example.com", "/x", "primary", "one_site", "auto",
	"{http: {}, tcp: {}}", "{url: 'https://x', command: [a]}"}

func clone(n *node) *node {
	c := *n
	c.index, c.entries, c.items = nil, nil, nil
	for _, e := range n.entries {
		c.entries = append(c.entries, entry{clone(e.key), clone(e.value)})
	}
	for _, item := range n.items {
		c.items = append(c.items, clone(item))
	}
	return &c
}

func pick(n *node, path string) *node {
	for path != "" {
		var step string
		step, path = firstStep(path)
		if n.kind == list {
			n = n.items[atoi(step)]
		} else {
			e, _ := n.entry(step)
			n = e.value
		}
	}
	n.index = nil
	return n
}

// TestSchemaAndReaderAgree changes the example everywhere in many ways: what
// the reader takes the schema takes, and what the reader finds wrong in shape
// the schema finds wrong too, but for what JSON Schema cannot say.
func TestSchemaAndReaderAgree(t *testing.T) {
	for _, path := range []string{examplePath, bucketsPath} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(path), func(t *testing.T) { agree(t, string(text)) })
	}
}

func agree(t *testing.T, text string) {
	s := loadSchema(t)
	beyond := regexp.MustCompile(`refers to|holds "|"\$\{env:|is not above zero|to YAML; quote it`)
	count := map[bool]int{}
	mutants(t, text, func(what string, root *node) {
		d := &decoder{opts: sealed(), folder: "etc"}
		shape.read(d, root, &estate.Estate{})
		verdict := validates(s, plain(t, root))
		count[verdict == nil]++
		if len(d.faults) == 0 && verdict != nil {
			t.Errorf("%s: the reader accepts, the schema says %v", what, verdict)
		}
		if len(d.faults) > 0 && verdict == nil && !beyond.MatchString(d.faults[0].Message) {
			t.Errorf("%s: the schema accepts, the reader says %v", what, d.faults[0])
		}
	})
	if count[true] < 100 || count[false] < 500 {
		t.Errorf("too few cases to mean anything: %v", count)
	}
}

func TestSchemaDescribesEveryKey(t *testing.T) {
	s := loadSchema(t)
	if s["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema = %v", s["$schema"])
	}
	keys := 0
	var walk func(path string, s map[string]any)
	walk = func(path string, s map[string]any) {
		properties, _ := s["properties"].(map[string]any)
		if s["type"] == "object" && s["additionalProperties"] == nil {
			t.Errorf("%s is open", path)
		}
		for k, p := range properties {
			keys++
			if p.(map[string]any)["description"] == nil {
				t.Errorf("%s.%s has no description", path, k)
			}
			walk(path+"."+k, p.(map[string]any))
		}
		for _, k := range []string{"items", "additionalProperties"} {
			if sub, ok := s[k].(map[string]any); ok {
				walk(path+"[]", sub)
			}
		}
	}
	walk("", s)
	if keys < 60 {
		t.Errorf("only %d keys", keys)
	}
}

// TestSchemaDefaultsAreTheReaders writes each default out where the key is
// absent: the estate must not change.
func TestSchemaDefaultsAreTheReaders(t *testing.T) {
	text := strings.Replace(minimal, "services:", "  basement: {provider: self, region: paris}\nservices:", 1) + "    check: {}\n    limits: {hedge: {}}\n    writes: one_site\n    fence: {url: \"https://f.example.com\"}\nlisten: {}\n" +
		"buckets:\n  media:\n    replicas:\n      virginia: {s3: {bucket: media, region: us-east-1, access_key: AKIA, secret_key: \"${env:MEDIA_SECRET_KEY}\"}}\n" +
		"      belgium: {file: /srv/b}\n      basement: {file: /srv/c, witness: true}\n"
	want, faults := parseText(t, text)
	if faults != nil {
		t.Fatal(faults)
	}
	seen := 0
	var walk func(path string, s map[string]any)
	walk = func(path string, s map[string]any) {
		properties, _ := s["properties"].(map[string]any)
		for k, p := range properties {
			p := p.(map[string]any)
			root, _, _ := parse(text)
			holder, _, exact := root.find(path)
			if def, ok := p["default"]; ok && exact && holder != nil && k != "writes" {
				seen++
				raw, _ := json.Marshal(def)
				with, _, _ := parse(k + ": " + string(raw))
				n := pick(root, path)
				n.entries = append(n.entries, with.entries...)
				d := &decoder{opts: sealed(), folder: "etc"}
				got := &estate.Estate{}
				shape.read(d, root, got)
				got.Default()
				got.Digest = want.Digest
				if diff := cmp.Diff(want, got); len(d.faults) > 0 || diff != "" {
					t.Errorf("%s.%s: default %s: %v\n%s", path, k, raw, d.faults, diff)
				}
			}
			walk(estate.Key(path, k), p)
		}
		if sub, ok := s["additionalProperties"].(map[string]any); ok {
			for _, name := range []string{"shop", "virginia", "media"} {
				walk(estate.Key(path, name), sub)
			}
		}
	}
	walk("", loadSchema(t))
	if seen < 15 {
		t.Errorf("only %d defaults", seen)
	}
}
