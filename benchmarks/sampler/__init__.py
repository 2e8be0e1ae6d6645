"""Following process trees."""
