package config

import (
	"encoding/json"
	"math"
)

// schema is the part of JSON Schema, draft 2020-12, that describes the file.
type schema struct {
	Dialect          string             `json:"$schema,omitempty"`
	Title            string             `json:"title,omitempty"`
	Description      string             `json:"description,omitempty"`
	Type             any                `json:"type,omitempty"` // a name, or a list of names
	Enum             []string           `json:"enum,omitempty"`
	Default          any                `json:"default,omitempty"`
	Examples         []string           `json:"examples,omitempty"`
	Pattern          string             `json:"pattern,omitempty"`
	MinLength        int                `json:"minLength,omitempty"`
	Minimum          *float64           `json:"minimum,omitempty"`
	ExclusiveMinimum *float64           `json:"exclusiveMinimum,omitempty"`
	Maximum          *float64           `json:"maximum,omitempty"`
	Items            *schema            `json:"items,omitempty"`
	MinItems         int                `json:"minItems,omitempty"`
	Properties       map[string]*schema `json:"properties,omitempty"`
	PropertyNames    *schema            `json:"propertyNames,omitempty"`
	Required         []string           `json:"required,omitempty"`
	MinProperties    int                `json:"minProperties,omitempty"`
	// Additional is false, or the schema of the values of a mapping from names.
	Additional any       `json:"additionalProperties,omitempty"`
	OneOf      []*schema `json:"oneOf,omitempty"`
	AnyOf      []*schema `json:"anyOf,omitempty"`
	Not        *schema   `json:"not,omitempty"`
}

// Schema gives the JSON Schema of spare.yaml, draft 2020-12, indented. It is
// derived from the very description that the reader walks.
func Schema() []byte {
	s := shape.describe()
	s.Dialect = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "spare.yaml"
	s.Description = "An estate: what runs where, and what Spare keeps usable when a site goes down."
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // a struct of strings and numbers
	}
	return append(out, '\n')
}

func (o *object[T]) describe() *schema {
	s := &schema{Type: "object", Properties: map[string]*schema{}, Additional: false}
	for _, f := range o.fields {
		p := f.describe()
		p.Description, p.Default = f.doc, f.def
		s.Properties[f.key] = p
		if f.required {
			s.Required = append(s.Required, f.key)
		}
	}
	switch {
	case len(o.one) > 0 && o.optional:
		s.Not = &schema{Required: o.one}
	case len(o.one) > 0:
		s.OneOf = require(o.one)
	}
	s.AnyOf = require(o.any)
	return s
}

// require gives a schema for each key that asks for just that.
func require(keys []string) (list []*schema) {
	for _, k := range keys {
		list = append(list, &schema{Required: []string{k}})
	}
	return list
}

func (m named[V]) describe() *schema {
	s := &schema{Type: "object", Additional: m.item.describe(), MinProperties: m.least}
	if m.key != "" {
		s.PropertyNames = &schema{Pattern: m.key}
	}
	return s
}

func (o optional[V]) describe() *schema { return o.of.describe() }

func (s sequence[V]) describe() *schema {
	return &schema{Type: "array", Items: s.of.describe(), MinItems: s.least}
}

func (t text) describe() *schema {
	s := &schema{Type: "string", MinLength: 1}
	if t.pattern != nil {
		s.Pattern = t.pattern.String()
	}
	if t.like != "" {
		s.Examples = []string{t.like}
	}
	return s
}

func (r secret) describe() *schema {
	return &schema{Type: "string", Pattern: secretPattern.String(), Examples: []string{r.like}}
}

func (c choice[S]) describe() *schema {
	return &schema{Type: "string", AnyOf: []*schema{{Enum: c.words()}, {Pattern: `\$\{`}}}
}

func (e either) describe() *schema { return e.choice().describe() }

func (boolean) describe() *schema { return &schema{Type: "boolean"} }

func (w whole) describe() *schema {
	low, high := float64(w.low), float64(w.high)
	return &schema{Type: "integer", Minimum: &low, Maximum: &high}
}

func (m number) describe() *schema {
	s := &schema{Type: "number", Minimum: &m.low}
	if m.above {
		s.Minimum, s.ExclusiveMinimum = nil, &m.low
	}
	if !math.IsInf(m.high, 1) {
		s.Maximum = &m.high
	}
	return s
}

func (duration) describe() *schema {
	return &schema{Type: "string", Pattern: durationPattern.String()}
}

func (size) describe() *schema {
	one := 1.0
	return &schema{Type: []string{"integer", "string"}, Pattern: sizePattern.String(), Minimum: &one}
}
