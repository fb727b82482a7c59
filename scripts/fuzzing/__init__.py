"""Inputs by the million for what reads untrusted bytes."""
