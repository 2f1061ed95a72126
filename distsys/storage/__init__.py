"""Where experiments are kept: in a folder that every node sees, or in an object store."""
