"""What a tree used, by whoever keeps an account of it in the kernel: one file per source of truth."""
