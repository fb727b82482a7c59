"""What people and programs touch: the API and its access rules, the status page, the command line."""
