"""One module per kind of dataset; its `load` lists the labeled clips."""
