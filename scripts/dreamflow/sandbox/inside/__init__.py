"""The code inside the sandbox: standard library only (and hypothesis, to generate inputs), without dreamflow.

`__main__` is the first process of the sandbox and is trusted; each call of a tested program is a child of it.
"""
