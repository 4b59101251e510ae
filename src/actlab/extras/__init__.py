"""One file per optional package. The core never imports them; the caller passes their objects in."""
