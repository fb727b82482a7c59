"""The rows of the API's table, a module a subject; `surface.table` puts them together."""
