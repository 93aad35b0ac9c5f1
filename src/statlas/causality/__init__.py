"""Papers of the area *causality*; the catalogue beside this file says what each one answers."""
