"""Reading and writing results: npz, PNG, JSON and the legacy dump."""
