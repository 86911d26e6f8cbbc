"""What the API does: one module per resource, one function per operation; `app.py` lists them.

Each function is three thoughts: parse, call, present. Its docstring is its summary in OpenAPI.
"""
