"""Certificates for the listeners: this box's own CA, the operator's PEM files, and which of them serves a name."""
