"""The only room that acts: look, plan, execute, record."""
