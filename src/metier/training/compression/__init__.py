"""Less of a network or a booster: structures cut out, tables factored, a teacher."""
