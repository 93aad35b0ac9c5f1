"""Papers of the area *transfer*; the catalogue beside this file says what each one answers."""
