"""
``xmlsocket demo``: a server and five clients of five kinds, over real sockets, checked.

`script` says who says what and when, `clients` are the five, `stage` brings them
together, `verdict` compares what everyone heard with what he should have heard.
"""
