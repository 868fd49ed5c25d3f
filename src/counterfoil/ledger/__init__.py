"""The system of record: accounts, transfers and balances, in TigerBeetle's data model and words."""
