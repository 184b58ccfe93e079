"""One file per kind of data set; `load` lists its labelled clips."""
