"""Papers of the area *forecasting*; the catalogue beside this file says what each one answers."""
