"""The fuel station: money is set aside, the pump gives what it buys, exactly what ran is taken, and the rest goes back."""
