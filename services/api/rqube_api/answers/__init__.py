"""What clients get, one module per resource: the types that OpenAPI shows, and what fills them."""
