"""
Servers under everything at once, and a census of what is left when all have gone.

``python -m tests.soak --minutes 10`` (``make soak``) runs rounds of a minute:
clients that come and go, a chaos proxy, peers that do not read, bad XML, frames
that are never finished, against a server on an event loop and one with threads.
After each round everybody leaves and what the process holds is counted.
"""
