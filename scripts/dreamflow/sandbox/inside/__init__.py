"""What runs inside the sandbox: standard library only (and hypothesis, where inputs are generated), no dreamflow.

`__main__` is the first process of the sandbox and is trusted; each call of a program under test is a child of it.
"""
