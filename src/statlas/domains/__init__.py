"""Papers of the area *domains*; the catalogue beside this file says what each one answers."""
