"""Papers of the area *evaluation*; the catalogue beside this file says what each one answers."""
