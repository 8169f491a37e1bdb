"""SMAP's commands, one or some of a kind in each module; `table` says which there are."""
