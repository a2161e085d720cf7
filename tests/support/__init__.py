"""Media that tests generate: pictures that carry their frame number, clips, stills and damaged files."""
