"""Papers of the area *curation*; the catalogue beside this file says what each one answers."""
