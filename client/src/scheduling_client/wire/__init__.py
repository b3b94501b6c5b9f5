"""Protobuf code generated from `proto/`; `make proto` writes it, nobody edits it."""
