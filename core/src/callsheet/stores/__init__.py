"""The durable stores: who we are, files by content, and the ledger of every paid call."""
