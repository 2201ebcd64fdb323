"""Going back to what a run saw: enter a machine, run a cell again, reproduce a bug, hand it on."""
