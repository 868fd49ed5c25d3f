"""A pump of a fuel station, and the till behind it.

protocol    what controller and pump say to each other: lines of JSON over TCP on this machine
simulator   a pump that speaks it, with a driver at its nozzle
folder      what the controller keeps on its disk: whose till it is, and the fill that is under way
controller  one fill after the other
commands    `counterfoil pump`, `pump pair` and `pump simulate`
"""
