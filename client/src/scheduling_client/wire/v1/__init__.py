"""Protobuf code of scheduling.v1, generated from `proto/scheduling/v1`: `make proto`."""
