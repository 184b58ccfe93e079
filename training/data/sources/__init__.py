"""One module per kind of data set; its `load` lists the labeled clips."""
