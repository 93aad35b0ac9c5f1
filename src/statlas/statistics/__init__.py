"""Papers of the area *statistics*; the catalogue beside this file says what each one answers."""
