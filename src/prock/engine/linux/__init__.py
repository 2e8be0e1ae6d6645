"""The engine on the C core, and what else reads /proc."""
