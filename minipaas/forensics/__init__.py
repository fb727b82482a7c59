"""Going in and looking: commands, shells, ports and files of instances, on leases that are seen, recorded and end."""
