"""One file for each optional package; the core never imports them: the caller hands the object in."""
