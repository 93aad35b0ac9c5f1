"""Papers of the area *dynamics*; the catalogue beside this file says what each one answers."""
