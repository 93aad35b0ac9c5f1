"""Papers of the area *uncertainty*; the catalogue beside this file says what each one answers."""
