//go:build tools

// Package tools names the programs, so that go.mod fixes their versions.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/promtool"
	_ "sigs.k8s.io/kustomize/kustomize/v5"
)
