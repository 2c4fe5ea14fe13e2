"""The world on loopback: servers that answer as the real ones do, for rehearsals and tests.

The clients speak to them over HTTP and git; nothing in `steps` or `clients` knows it is a rehearsal.
"""
