"""Everything Postgres: the only place with SQL.

One module per table or concern; each method of a class here is one transaction. The database's
clock decides (`clock_timestamp()`): no method takes the time from its caller.
"""
