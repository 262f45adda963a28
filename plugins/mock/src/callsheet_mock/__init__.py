"""The mock provider: plays every model of every provider, deterministically and offline."""
