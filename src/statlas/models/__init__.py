"""Language models and small networks behind one interface; torch is loaded when used."""
