"""Small programs that an instrumentation watches. Each runs in its own process, see ``capture.py``."""
