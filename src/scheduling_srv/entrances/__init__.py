"""The wing that lets in: gRPC, the Kafka listener, the admin pages."""
