"""
The codec outside of the package: the crate, the C library, the single file.

What compiles is marked slow and has a target of its own, ``make test-vendor``.
A tool that is missing skips a test and is named; ``XMLSOCKET_VENDOR=required``
makes that a failure.
"""
