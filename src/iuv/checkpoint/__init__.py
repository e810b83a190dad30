"""Reading, converting, fetching and writing weights."""
