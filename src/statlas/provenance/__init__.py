"""Papers of the area *provenance*; the catalogue beside this file says what each one answers."""
