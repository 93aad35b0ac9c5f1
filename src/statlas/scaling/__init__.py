"""Papers of the area *scaling*; the catalogue beside this file says what each one answers."""
