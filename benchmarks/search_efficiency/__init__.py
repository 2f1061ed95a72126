"""Which way of searching gets most out of its compute, by learning curves that were recorded once."""
