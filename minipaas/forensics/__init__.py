"""Forensics: the way into instances, on leases that are seen, recorded and end; and the scenes of those that failed,
kept so that they can be gone into later."""
