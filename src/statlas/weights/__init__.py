"""Papers of the area *weights*; the catalogue beside this file says what each one answers."""
