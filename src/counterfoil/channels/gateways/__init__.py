"""How each kind of gateway asks and is answered: its own form on one side, what the house says and hears on the other."""
