"""Papers of the area *generation*; the catalogue beside this file says what each one answers."""
