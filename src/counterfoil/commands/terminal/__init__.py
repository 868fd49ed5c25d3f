"""A merchant's desk with a card reader: a till that takes payments by card, in full lines on any terminal.

folder     what the desk keeps on its disk: whose till it is, and the sale that is under way
till       the conversation with the server
scanned    what a scanner types, and the goods that it rings up; pure
outcomes   what an answer means for the sale, and the words for it; pure
reading    what a card says when it is held to the reader
desk       the conversation with the clerk and the payer
commands   `counterfoil terminal` and `counterfoil terminal pair`
"""
