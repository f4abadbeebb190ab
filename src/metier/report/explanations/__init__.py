"""The page of `metier explain`, and what an audit takes from it."""
