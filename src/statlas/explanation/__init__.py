"""Papers of the area *explanation*; the catalogue beside this file says what each one answers."""
