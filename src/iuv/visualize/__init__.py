"""Pictures made from results; nothing here knows the networks."""
