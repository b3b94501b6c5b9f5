"""Benchmarks on real servers. Each one checks that nothing was lost, doubled or early."""
