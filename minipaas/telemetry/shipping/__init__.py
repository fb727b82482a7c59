"""Shipping: the lines of the log store, sent on to where an operator collects those of many boxes, at least once.

The store is the buffer: a destination is a place in it that moves on when what lies before was confirmed.
"""
