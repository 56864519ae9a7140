"""Where logs come from: published data sets as they are found, and tables of one's own."""
