"""The C programs that are measured, and what starts them."""
