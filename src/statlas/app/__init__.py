"""What people touch: the command line, the web workbench and the digest."""
