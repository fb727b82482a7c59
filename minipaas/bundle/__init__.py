"""The bundle format for both sides: OCI layout, signatures, trust root and the I/O-free verifier. Knows no Podman."""
