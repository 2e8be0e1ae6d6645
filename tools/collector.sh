#!/bin/sh
# Builds an OpenTelemetry Collector that receives OTLP and prints it, into DIRECTORY/otelcorecol. Needs Go.
# usage: tools/collector.sh DIRECTORY
set -eu
version=v0.161.0
mkdir -p "$1"
cd "$1"
cat >builder.yaml <<END
dist: {name: otelcorecol, output_path: ./source}
receivers: [{gomod: go.opentelemetry.io/collector/receiver/otlpreceiver $version}]
exporters: [{gomod: go.opentelemetry.io/collector/exporter/debugexporter $version}]
END
go run "go.opentelemetry.io/collector/cmd/builder@$version" --config=builder.yaml
mv source/otelcorecol otelcorecol
