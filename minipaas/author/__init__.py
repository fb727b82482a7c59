"""The author's side: images, SBOM, provenance, Compose import; what turns a directory into a bundle."""
