"""Pure decisions: compare desired with observed and say which steps are left. No clock, socket or SQL."""
