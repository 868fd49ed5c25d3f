"""The general database: people, orders, goods. One writer with group commit, plain SQL that every engine understands."""
