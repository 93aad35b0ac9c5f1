"""Papers of the area *language*; the catalogue beside this file says what each one answers."""
