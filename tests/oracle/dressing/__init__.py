"""Ways to dress a plain random world with the features of the whole request path, a file for each kind."""
