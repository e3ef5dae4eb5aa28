"""TPC-H over three providers: the 22 queries, each result held against DuckDB over all tables together."""
