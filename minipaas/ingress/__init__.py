"""The data path: an HTTP/1.1 proxy with an atomic route table and drain."""
