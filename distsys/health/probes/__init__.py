"""Probes of an experiment before it is run; they know no domain: what they need of one is a :class:`Patient`."""
