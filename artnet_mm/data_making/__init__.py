"""Making of data sets: lists, copies, flow, motion clips. Never part of a data loader."""
