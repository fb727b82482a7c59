"""What the endpoints of the API do, one noun a module. They are reached through the table only."""
