"""What users would pick instead of this service: programs that are measured beside it.

Each has a client and a worker in a process of its own, and speaks lines of JSON (`bench.actors`):
`open`, `prepare`, `submit`, `ids`, `start`, `end`. Its worker produces a record for each job to
Kafka. The job is done when Kafka has confirmed the record.
"""
