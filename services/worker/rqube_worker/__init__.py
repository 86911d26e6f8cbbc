"""The worker service: claims jobs in batches, runs them in lanes, settles them in batches.

waiter -> engine -> lane -> engine          (one I/O thread, `engine.py`)
             keeper                          (leases, time limits, progress)
worker.py is the worker as RQ's tools see it, and the only door to RQ's private methods.
"""
