"""How data sets are made: lists, copies, flow, motion clips. Never part of a data loader."""
