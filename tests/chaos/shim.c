int shim_nothing;
