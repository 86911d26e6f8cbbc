"""The api service: JSON under `/api/v1`, pages under `/`, probes and the OpenAPI document."""
