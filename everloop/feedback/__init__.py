"""What people say of outputs, turned into learning signals."""
