"""What an activation is: the expression tree, its atoms, their derivatives, parameters, and the parser."""
