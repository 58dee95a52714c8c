package config

import (
	"fmt"
	"strings"
	"testing"
)

// large gives a file with n services of two origins each.
func large(n int) []byte {
	var b strings.Builder
	b.WriteString("version: 1\nsites:\n  virginia: {provider: aws, region: us-east-1}\n  belgium: {provider: gcp, region: europe-west1}\nservices:\n")
	for i := range n {
		fmt.Fprintf(&b, "  shop-%d:\n    hosts: [shop-%d.example.com]\n    origins:\n"+
			"      virginia: {url: \"https://shop-%d.aws.example.com\"}\n      belgium: {url: \"https://shop-%d.gcp.example.com\"}\n"+
			"    check: {http: {path: /healthz}, every: 1s}\n", i, i, i, i)
	}
	return []byte(b.String())
}

// BenchmarkParse shows how reading grows with the number of services.
func BenchmarkParse(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		data := large(n)
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse("spare.yaml", data, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParseFaulty reads a file in which every service has two faults.
func BenchmarkParseFaulty(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		data := []byte(strings.ReplaceAll(strings.ReplaceAll(string(large(n)), "every: 1s", "evry: 1s"), "belgium: {url", "belgim: {url"))
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse("spare.yaml", data, Options{}); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}
