"""The command line: what each `counterfoil` command does. Parses nothing itself (`__main__` does) and prints through `output`."""
