"""Everything Redis: ids on their way to the workers, in the keys and formats of RQ 3.0.

Redis is disposable: whatever is here can be lost and is put back by `rqube.recovery`.
Lua beside its caller; each script opens with the keys it touches.
"""
