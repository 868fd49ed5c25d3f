"""A lane of a car park: a till at which nobody stands, and the barrier beside it.

folder     what the lane keeps on its disk: whose till it is, and the passage that is under way
barrier    how the barrier is told to open
lane       one car after the other
commands   `counterfoil gate` and `counterfoil gate pair`
"""
