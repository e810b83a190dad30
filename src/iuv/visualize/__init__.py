"""Pictures of people: drawings over a photo, textures, and what other tools expect."""
