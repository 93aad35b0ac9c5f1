"""Papers of the area *ensembles*; the catalogue beside this file says what each one answers."""
