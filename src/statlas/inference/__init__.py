"""Papers of the area *inference*; the catalogue beside this file says what each one answers."""
