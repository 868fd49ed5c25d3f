"""What a shop sells: its goods, their barcodes, and price lists that come in as files."""
